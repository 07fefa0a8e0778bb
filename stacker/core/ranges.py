"""Numbers of layers as people write them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby


def ranges_text(numbers: Iterable[int]) -> str:
    """Sorted numbers, runs joined: `3, 7–9`."""
    runs = [[n for _, n in run] for _, run in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0])]
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def layers_text(numbers: Iterable[int]) -> str:
    """The same with the word before it: `layer 3`, `layers 7–9`."""
    known = list(numbers)
    return f"layer{'s' if len(known) > 1 else ''} {ranges_text(known)}"
