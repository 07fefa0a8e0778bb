"""Lets a stack answer a few instructions and continue a few texts, greedily."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from stacker.live.generation import encode_chat, encode_text, generate
from stacker.measure.candidates import Candidate
from stacker.measure.questions.instructions import INSTRUCTIONS, OPENINGS, measure_repetition
from stacker.measure.results import OBEDIENCE, REPETITION, Measure, Sample
from stacker.measure.score_cache import ScoreCache
from stacker.progress import Watch, ignore_watch

NEW_TOKENS = 64


def write_answers(
    candidate: Candidate, count: int, cache: ScoreCache, watch: Watch = ignore_watch
) -> tuple[list[str], bool]:
    """The answers to the first `count` instructions and then the continuations of as many openings, as texts.

    Each has at most NEW_TOKENS tokens, the likeliest one each time. Also says whether all were in the cache before this
    command.
    """
    prompts = [*make_prompts(candidate.tokenizer, count)]
    ids = [encoded["input_ids"].tolist() for encoded in prompts]
    parts = {"what": "generations", "stack": candidate.identity, "prompts": ids, "new": NEW_TOKENS}
    found = cache.read(parts)
    known = found is not None and set(found) == {"texts"} and found["texts"].shape == (len(prompts),)
    if found is None or not known:
        found = {"texts": np.array([*_generate_all(candidate, prompts, watch)])}
        cache.write(parts, found)
    return [str(text) for text in found["texts"]], known and not cache.is_new(parts)


def make_prompts(tokenizer: Any, count: int) -> Iterator[Any]:
    """The encoded prompts: instructions in the form of the chat template, if there is one, and openings as they are."""
    for instruction in INSTRUCTIONS[:count]:
        if getattr(tokenizer, "chat_template", None):
            yield encode_chat(tokenizer, [{"role": "user", "content": instruction.text}])
        else:
            yield encode_text(tokenizer, f"Instruction: {instruction.text}\nAnswer:")
    for opening in OPENINGS[:count]:
        yield encode_text(tokenizer, opening)


def _generate_all(candidate: Candidate, prompts: list[Any], watch: Watch) -> Iterator[str]:
    options = {"max_new_tokens": NEW_TOKENS, "do_sample": False}
    for done, encoded in enumerate(prompts, 1):
        yield generate(candidate.live, candidate.tokenizer, encoded, options, lambda _: None).text
        watch(done, len(prompts))


def judge_answers(texts: list[str]) -> dict[Measure, Sample]:
    """The share of instructions that were followed, and of 4-grams in the continuations that are repetitions."""
    count = len(texts) // 2
    pairs = zip(INSTRUCTIONS, texts[:count], strict=False)
    followed = tuple(float(instruction.fulfilled(text.strip())) for instruction, text in pairs)
    repeated = tuple(measure_repetition(text) for text in texts[count:])
    weights = (1.0,) * count
    return {OBEDIENCE: Sample(followed, weights), REPETITION: Sample(repeated, weights)}
