"""Choices get the probabilities that transformers gives them, and the likeliest is the answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from stacker.compose import draw_blueprint
from stacker.errors import SpecError
from stacker.live.live_stack import Settings
from stacker.measure.candidates import Candidate
from stacker.measure.questions.answering import divide_tokens, judge_choices, read_choices, score_choices
from stacker.measure.questions.questions import Question
from stacker.measure.results import ACCURACY, SURPRISE
from stacker.measure.score_cache import ScoreCache
from tests.live.lives import stack_of
from tests.measure.donors_with_words import make_tokenizer, write_worded

SINGLE = Question("words", "w1 w2", (" w3", " w4", " w5"), 0)
MIXED = Question("words", "w6 w7 ", ("w8", "w9 w10"), 1)


@pytest.mark.parametrize("start", [False, True])
def test_probabilities_are_transformers_own(tmp_path: Path, start: bool) -> None:
    """For choices of one token, read at once, and of several: the sum of the log-probabilities of their tokens."""
    write_worded(tmp_path, "a", "b", start=start)
    stack = stack_of(tmp_path, ["a"])
    live = stack.live_stack(dtype="float32")
    candidate = Candidate("a", draw_blueprint(stack), Settings(dtype="float32"), lambda: live)
    questions = (SINGLE, MIXED)
    found, known = score_choices(candidate, questions, 100, ScoreCache(None))
    assert not known
    tokenizer = make_tokenizer(start=start)
    for question, values in zip(questions, found, strict=True):
        for choice, value in zip(question.choices, values, strict=True):
            tokens = tokenizer(question.prompt + choice, return_tensors="pt")["input_ids"]
            first = len(tokenizer(question.prompt)["input_ids"])
            with torch.no_grad():
                likely = live.model(tokens).logits[0].double().log_softmax(-1)
            expected = sum(likely[at - 1, tokens[0, at]].item() for at in range(first, tokens.shape[1]))
            assert value == pytest.approx(expected, rel=1e-5)


def test_single_tokens_are_read_at_once() -> None:
    """Three choices of one token take one reading, choices of several tokens one each."""
    readings = [*read_choices(make_tokenizer(), (SINGLE, MIXED))]
    assert [len(each.predictions) for each in readings] == [3, 1, 2]
    assert [owner for each in readings for _, _, owner in each.predictions] == [0, 1, 2, 3, 4, 4]


def test_spaces_belong_to_the_choice() -> None:
    """A space at the end of the prompt does not change the tokens of prompt and choice."""
    tokenizer = make_tokenizer()
    assert divide_tokens(tokenizer, "w1 ", "w2") == divide_tokens(tokenizer, "w1", " w2") == ((4,), (5,))


def test_a_choice_without_tokens_is_refused() -> None:
    """A choice of spaces only has no tokens; the message names the question."""
    with pytest.raises(SpecError, match="w1 w2"):
        [*read_choices(make_tokenizer(), (Question("words", "w1 w2", (" ", " w4"), 0),))]


def test_the_likeliest_choice_is_the_answer() -> None:
    """Right is likelier than all others, wrong or equal ones are not; the loss is that among the choices."""
    values = (np.log([0.5, 0.3, 0.1]), np.log([0.4, 0.4]), np.log([0.1, 0.2]))
    questions = (SINGLE, MIXED, MIXED)
    judged = judge_choices(questions, values)
    assert judged[ACCURACY].sums == (1.0, 0.0, 1.0)
    assert judged[SURPRISE].sums == pytest.approx((-np.log(5 / 9), -np.log(0.5), -np.log(2 / 3)))
