"""Divides the differences of a sweep into classes of colour. Their limits follow the differences themselves.

Losses of texts and of answers differ in size, and so do sweeps: fixed limits would give most of them one colour.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from stacker.search.sweeps.results import Sweep


@dataclass(frozen=True, slots=True)
class Shade:
    """The colour of differences below `limit`, that of text on it, and what the legend says."""

    limit: float
    colour: str
    ink: str
    legend: str


_DARK, _LIGHT = "#14171a", "#ffffff"
_COLOURS = (
    (-4.0, "#123c8c", _LIGHT),
    (-1.0, "#2f7ff0", _DARK),
    (0.0, "#a9cbf7", _DARK),
    (1.0, "#fbe6a6", _DARK),
    (4.0, "#f4a04c", _DARK),
    (16.0, "#cf4631", _LIGHT),
    (math.inf, "#5c1440", _LIGHT),
)
"""Limits in units of half the median difference: colour, and colour of text."""


def make_shades(found: Sweep) -> tuple[Shade, ...]:
    """The classes for the differences of a sweep, from the best to the worst; exactly 0 is no gain."""
    unit = _find_unit([trial.difference.value for trial in found.trials if trial.difference])
    return tuple(Shade(limit * unit, colour, ink, _say(limit * unit)) for limit, colour, ink in _COLOURS)


def _say(limit: float) -> str:
    if math.isinf(limit):
        return "more"
    return "better" if limit == 0 else f"< {limit:+.2g}"


def _find_unit(values: Sequence[float]) -> float:
    """Half the median of all differences but 0, as 1, 2 or 5 times a power of ten."""
    sizes = [abs(value) for value in values if value]
    if not sizes:
        return 0.01
    half = statistics.median(sizes) / 2
    power = 10.0 ** math.floor(math.log10(half))
    return next((step * power for step in (5, 2) if step * power <= half), power)


def find_shade(shades: Sequence[Shade], difference: float) -> Shade:
    """The class of a difference."""
    return next((shade for shade in shades if difference < shade.limit), shades[-1])
