"""Scores the choices of questions by their probability after the prompt; nothing is generated."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from stacker.errors import SpecError
from stacker.measure.candidates import Candidate
from stacker.measure.losses import Reading, batch_readings, compute_losses, map_batches, sum_passages
from stacker.measure.questions.questions import Question, hash_questions
from stacker.measure.results import ACCURACY, SURPRISE, Measure, Sample
from stacker.measure.score_cache import ScoreCache
from stacker.measure.texts import find_start_token
from stacker.progress import Watch, ignore_watch

Choices = tuple[np.ndarray, ...]
"""For each question the log-probabilities of its choices."""


def score_choices(
    candidate: Candidate, questions: Sequence[Question], most: int, cache: ScoreCache, watch: Watch = ignore_watch
) -> tuple[Choices, bool]:
    """The log-probability of every choice, in nats, and whether all were in the cache before this command.

    Batches have at most `most` tokens, and `watch` is called with the predictions made and to make.
    """
    readings = [*read_choices(candidate.tokenizer, questions)]
    asked = {"questions": hash_questions(questions), "tokens": hash_readings(readings), "batch": most}
    parts = {"what": "choices", "stack": candidate.identity, **asked}
    counts = [len(question.choices) for question in questions]
    found = cache.read(parts)
    known = found is not None and set(found) == {"choices"} and found["choices"].shape == (sum(counts),)
    if found is None or not known:
        batches = [*batch_readings(readings, most)]
        losses = torch.cat([each for _, _, each in map_batches(candidate.head, batches, compute_losses, watch)])
        found = {"choices": -sum_passages(candidate.check_finite(losses), batches, sum(counts)).numpy()}
        cache.write(parts, found)
    return tuple(np.split(found["choices"], np.cumsum(counts)[:-1])), known and not cache.is_new(parts)


def hash_readings(readings: Sequence[Reading]) -> str:
    """A hash of the tokens and predictions of readings."""
    return hashlib.sha256(repr([(each.tokens, each.predictions) for each in readings]).encode()).hexdigest()


def read_choices(tokenizer: Any, questions: Sequence[Question]) -> Iterator[Reading]:
    """What a model reads to score the choices, numbered through all questions.

    Prompt and choice are tokenised together, after the prompt's trailing spaces were moved to the choice; the tokens
    behind those of the prompt alone are the choice's. Choices of one token after equal prompts are read at once.
    """
    start = find_start_token(tokenizer)
    number = 0
    for question in questions:
        pairs = [divide_tokens(tokenizer, question.prompt, choice) for choice in question.choices]
        prompts = {prompt for prompt, _ in pairs}
        if not all(choice and (prompt or start) for prompt, choice in pairs):
            raise SpecError.of(f"a choice of {question.prompt!r} has no tokens of its own", "write a longer prompt")
        if len(prompts) == 1 and all(len(choice) == 1 for _, choice in pairs):
            tokens = (*start, *pairs[0][0])
            yield Reading(tokens, tuple((len(tokens) - 1, c[0], number + at) for at, (_, c) in enumerate(pairs)))
        else:
            for at, (prompt, choice) in enumerate(pairs):
                first = len(start) + len(prompt) - 1
                predictions = tuple((first + place, token, number + at) for place, token in enumerate(choice))
                yield Reading((*start, *prompt, *choice[:-1]), predictions)
        number += len(pairs)


def divide_tokens(tokenizer: Any, prompt: str, choice: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The tokens of a prompt and of the choice behind it."""
    bare = prompt.rstrip()
    whole, alone = (
        tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"] for text in (prompt + choice, bare)
    )
    return tuple(whole[: len(alone)]), tuple(whole[len(alone) :])


def judge_choices(questions: Sequence[Question], choices: Choices) -> dict[Measure, Sample]:
    """The share of right answers, and the mean loss of the right answers among the choices.

    An answer is right if its choice is likelier than every other: equal ones are not right. The loss is −ln of the
    right choice's probability divided by that of all choices.
    """
    weights = (1.0,) * len(questions)
    right, losses = [], []
    for question, values in zip(questions, choices, strict=True):
        others = np.delete(values, question.answer)
        right.append(float(values[question.answer] > others.max()))
        losses.append(float(np.logaddexp.reduce(values) - values[question.answer]))
    return {ACCURACY: Sample(tuple(right), weights), SURPRISE: Sample(tuple(losses), weights)}
