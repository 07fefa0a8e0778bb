"""Compares two stacks token by token: which tokens of a text one of them expects less than the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from stacker.errors import SpecError
from stacker.measure.candidates import Candidate
from stacker.measure.comparison.evaluation import Examination, WatchFor, read_texts, sample_tokens
from stacker.measure.intervals import estimate_difference
from stacker.measure.results import LOSS, BehaviourDifference, TokenChange
from stacker.measure.text_scores import score_alone
from stacker.measure.texts import TextPassage, find_start_token


def compare_texts(
    first: Candidate, second: Candidate, examination: Examination, watch_for: WatchFor
) -> BehaviourDifference:
    """The losses of every scored token in both stacks; SpecError if they read different tokens."""
    passages, cache = examination.passages, examination.cache
    texts = [read_texts(each, examination) for each in (first, second)]
    if texts[0].windows != texts[1].windows:
        message = f"{first.name} and {second.name} have different tokenizers, so their tokens cannot be compared"
        raise SpecError.of(message, "compare bits a byte: stacker eval")
    one, two = (
        score_alone(each.candidate, each.windows, each.batches, cache, watch_for(f"{each.candidate.name}: tokens"))
        for each in texts
    )
    pieces = (piece for passage in passages for piece in divide_text(first.tokenizer, passage))
    tokens = tuple(
        TokenChange(int(owner), piece, float(loss), float(other))
        for owner, piece, loss, other in zip(one.passages, pieces, one.losses, two.losses, strict=True)
    )
    sources = tuple(f"{passage.source}, passage {passage.number + 1}" for passage in passages)
    before, after = (sample_tokens(each, passages)[LOSS] for each in (one, two))
    return BehaviourDifference(first.name, second.name, sources, tokens, estimate_difference(after, before))


def divide_text(tokenizer: Any, passage: TextPassage) -> Iterator[str]:
    """The pieces of a passage that its scored tokens stand for.

    They join to the passage, without its first token if that is not scored. A token that ends in the middle of a
    character has the empty piece.
    """
    ends = [*_find_ends(tokenizer, passage.text)]
    pieces = [passage.text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    yield from pieces if find_start_token(tokenizer) else pieces[1:]


def _find_ends(tokenizer: Any, text: str) -> Sequence[int]:
    """For each token, the index of the first character behind it; the last token ends with the text."""
    if not tokenizer.is_fast:
        raise SpecError.of("this tokenizer does not say where its tokens stand in a text", "add its tokenizer.json")
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    starts = [start for start, _ in encoded["offset_mapping"]]
    return [*starts[1:], len(text)] if starts else []
