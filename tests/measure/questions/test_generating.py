"""A few generated texts say whether a stack does what it is told, and how much it repeats itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from stacker.compose import draw_blueprint
from stacker.live.live_stack import Settings
from stacker.measure.candidates import Candidate
from stacker.measure.questions.generating import judge_answers, make_prompts, write_answers
from stacker.measure.questions.instructions import INSTRUCTIONS, OPENINGS, Instruction, measure_repetition
from stacker.measure.results import OBEDIENCE, REPETITION
from stacker.measure.score_cache import ScoreCache
from tests.live.lives import stack_of
from tests.measure.donors_with_words import make_tokenizer, write_worded

GOOD = (
    "42.",
    "THE SEA IS DEEP AND BLUE.",
    "Hello hello hello",
    "cat\ndog\nhen\nfox",
    "Yes",
    "Indeed, it is a rock.",
    "She swam across the river.",
    "red, green, blue",
    "“The Long Night”",
    "the red fox runs home",
    '```json\n{"name": "Eve"}\n```',
    "Birds sing in the morning.",
)
BAD = (
    "The number is 42.",
    "The sea is DEEP.",
    "hello hello",
    "cat, dog, hen, fox",
    "Yes, ice is cold.",
    "The moon is, indeed, a rock.",
    "The river is wide.",
    "The colours red, green, and blue are nice.",
    '"Snow" is a good title.',
    "The red fox runs home. The red fox runs home.",
    '["name"]',
    "Birds sing.",
)


@pytest.mark.parametrize(("instruction", "good", "bad"), [*zip(INSTRUCTIONS, GOOD, BAD, strict=True)], ids=GOOD)
def test_instructions_are_checked(instruction: Instruction, good: str, bad: str) -> None:
    """An answer that does what it is told counts, one that nearly does so does not, and an empty one never."""
    assert tuple(map(instruction.fulfilled, (good, bad, ""))) == (True, False, False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one two three four five", 0.0),
        ("a b c d a b c d", 1 / 5),
        ("no no no no no no no", 3 / 4),
        ("a b c", 0.0),
        ("", 0.0),
    ],
)
def test_repetition(text: str, expected: float) -> None:
    """The share of runs of four words that were there before, case and punctuation aside."""
    assert measure_repetition(text) == pytest.approx(expected)
    assert measure_repetition(text.upper() + ".") == pytest.approx(expected)


def test_texts_are_judged() -> None:
    """The first half are answers, the second half continuations."""
    judged = judge_answers(["42", "the sea", "no no no no no", "one two"])
    assert judged[OBEDIENCE].sums == (1.0, 0.0)
    assert judged[REPETITION].sums == (0.5, 0.0)


def test_texts_are_transformers_greedy_ones(tmp_path: Path) -> None:
    """Each text is what transformers generates from the same prompt; a second time it comes from the cache."""
    write_worded(tmp_path, "a", "b")
    stack = stack_of(tmp_path, ["a"])
    live = stack.live_stack(dtype="float32")
    candidate = Candidate("a", draw_blueprint(stack), Settings(dtype="float32"), lambda: live)
    cache = ScoreCache(tmp_path / "cache")
    found, known = write_answers(candidate, 2, cache)
    assert (len(found), known) == (4, False)
    assert write_answers(candidate, 2, cache) == (found, True)
    assert len(json.dumps(found)) > 100
    for encoded, text in zip(make_prompts(candidate.tokenizer, 2), found, strict=True):
        start = encoded["input_ids"].shape[1]
        with torch.no_grad():  # the model has 64 positions
            new = live.model.generate(**encoded, max_new_tokens=64 - start, do_sample=False)[0, start:]
        assert text == candidate.tokenizer.decode(new, skip_special_tokens=True)


def test_chat_templates_are_used() -> None:
    """Instructions take the form of the chat template, openings never do."""
    tokenizer = make_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}w1 w2 w3{% endfor %}"
    prompts = [encoded["input_ids"].tolist() for encoded in make_prompts(tokenizer, 1)]
    assert prompts[0] == [[4, 5, 6]]
    assert prompts[1] == tokenizer(OPENINGS[0], return_tensors="pt")["input_ids"].tolist()
