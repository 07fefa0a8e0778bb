"""Divides texts into a search, a choice and a final part, and draws the windows that a generation is measured on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any

import numpy as np

from stacker.errors import SpecError
from stacker.measure.intervals import FEWEST
from stacker.measure.texts import TextPassage, Window, Windowing, cut_windows

CHARACTERS = 6
"""How many characters a passage has for each token of its window; few texts have more a token."""
PARTS = ("search", "choice", "search", "final")
"""The part that each passage of a text belongs to, in turn."""


@dataclass(frozen=True, slots=True)
class Part:
    """The windows of each text in one part, one a passage and all of one length; every text has equally many."""

    windows: Mapping[str, tuple[Window, ...]]

    @property
    def texts(self) -> tuple[str, ...]:
        """The names of the texts."""
        return tuple(self.windows)

    def list_all(self) -> tuple[Window, ...]:
        """All windows, text by text, numbered from 0."""
        return _number(chain.from_iterable(self.windows.values()))


def split_texts(texts: Mapping[str, Sequence[TextPassage]], tokenizer: Any, window: int, most: int) -> dict[str, Part]:
    """The parts by name. A passage gives its first `window` tokens; SpecError lists the texts that are too short.

    The choice and the final part have equally many passages of each text; the choice part has at most `most` in all.
    """
    found = {name: _cut(passages, tokenizer, window) for name, passages in texts.items()}
    short = [name for name, windows in found.items() if len(windows) < FEWEST * len(PARTS)]
    if short:
        message = f"{', '.join(short)}: fewer than {FEWEST * len(PARTS)} passages of {window} tokens"
        raise SpecError.of(message, "give longer texts, or a smaller --window")
    parts: dict[str, Part] = {}
    for part in dict.fromkeys(PARTS):
        shares = {name: _take(windows, part) for name, windows in found.items()}
        fewest = min(map(len, shares.values()))
        counts = {"choice": min(fewest, max(FEWEST, most // len(texts))), "final": fewest}
        parts[part] = Part({name: _spread(share, counts.get(part, len(share))) for name, share in shares.items()})
    return parts


def _spread(windows: Sequence[Window], count: int) -> tuple[Window, ...]:
    """So many of the windows, evenly spaced."""
    return tuple(windows[at * len(windows) // count] for at in range(count))


def _cut(passages: Sequence[TextPassage], tokenizer: Any, window: int) -> tuple[Window, ...]:
    if not passages:
        return ()
    found = cut_windows(passages, tokenizer, Windowing(window, window - 1))
    first = {each.passage: each for each in reversed(found) if len(each.tokens) == window}
    return tuple(first[number] for number in sorted(first))


def _take(windows: Sequence[Window], part: str) -> tuple[Window, ...]:
    return tuple(each for at, each in enumerate(windows) if PARTS[at % len(PARTS)] == part)


def _number(windows: Iterator[Window]) -> tuple[Window, ...]:
    return tuple(replace(window, passage=number) for number, window in enumerate(windows))


def draw_windows(part: Part, generation: int, count: int, seed: int) -> tuple[Window, ...]:
    """The windows of a generation, one text after the other in turn, so that each beginning of them has all texts.

    Each text is read in random order to its end before a passage comes again. There are `count` windows, or somewhat
    more so that all texts have equally many.
    """
    each = -(-count // len(part.windows))
    drawn = [
        islice(_shuffle_forever(windows, (seed, number)), generation * each, (generation + 1) * each)
        for number, windows in enumerate(part.windows.values())
    ]
    return _number(chain.from_iterable(zip(*drawn, strict=True)))


def _shuffle_forever(windows: Sequence[Window], seed: Sequence[int]) -> Iterator[Window]:
    source = np.random.default_rng(seed)
    while True:
        yield from (windows[int(at)] for at in source.permutation(len(windows)))
