"""Chooses the passages of a text that are probed: windows of one length, evenly spread over the text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stacker.errors import SpecError
from stacker.measure.intervals import FEWEST
from stacker.measure.texts import TextPassage, Window, Windowing, cut_windows, read_passages

CHARACTERS = 6
"""How many characters a passage has for each token of its window; few texts have more a token."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The windows on which edits are measured, and those on which the best of them are confirmed, which may be none."""

    measured: tuple[Window, ...]
    confirmed: tuple[Window, ...]


def read_probe_passages(paths: Sequence[Path], window: int) -> tuple[TextPassage, ...]:
    """The passages of text files, long enough for one window of `window` tokens each."""
    return read_passages(paths, window * CHARACTERS)


def choose_windows(passages: Sequence[TextPassage], tokenizer: Any, window: int, count: int) -> Choice:
    """Choose `count` windows to measure on and as many to confirm with, in turn, evenly spread over the passages.

    Each window is the beginning of a passage; passages with fewer than `window` tokens are left out. All windows are
    measured on if there are few. SpecError if no passage is long enough.
    """
    found = cut_windows(passages, tokenizer, Windowing(window, window - 1))
    full = {each.passage: each for each in reversed(found) if len(each.tokens) == window}
    windows = [full[number] for number in sorted(full)]
    if not windows:
        message = f"no passage of the text has {window} tokens"
        raise SpecError.of(message, "give a longer text, or a smaller --window")
    spread = _spread(windows, 2 * count)
    rest = len(spread) - count
    if rest < FEWEST:
        return Choice(_number(_spread(windows, count)), ())
    step = len(spread) / rest
    second = {int(step * (each + 0.5)) for each in range(rest)}
    return Choice(
        _number([each for place, each in enumerate(spread) if place not in second]),
        _number([each for place, each in enumerate(spread) if place in second]),
    )


def divide_windows(windows: Sequence[Window]) -> tuple[tuple[Window, ...], tuple[Window, ...]]:
    """Divide windows into those of a draft, three of eight, and the rest, which refines it; both spread over the text.

    The rest is empty if one of the two would be too few for intervals.
    """
    count = max(FEWEST, round(len(windows) * 3 / 8))
    if len(windows) - count < FEWEST:
        return tuple(windows), ()
    first = {place * len(windows) // count for place in range(count)}
    return (
        _number([each for place, each in enumerate(windows) if place in first]),
        _number([each for place, each in enumerate(windows) if place not in first]),
    )


def _spread(windows: Sequence[Window], most: int) -> list[Window]:
    count = min(most, len(windows))
    return [windows[place * len(windows) // count] for place in range(count)]


def _number(windows: Sequence[Window]) -> tuple[Window, ...]:
    return tuple(replace(window, passage=number) for number, window in enumerate(windows))
