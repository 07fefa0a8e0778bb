"""Draws a sweep of one number as a curve: values across, differences up, the intervals as a band."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement

from rich.text import Text

from stacker.measure.results import Estimate
from stacker.search.sweeps.grid import Axis
from stacker.search.sweeps.results import Sweep, Trial
from stacker.spec.parameters.space import format_value
from stacker.view.files.svg_elements import add_line, add_text, clean_text
from stacker.view.sweeps.words import clean, difference_text, name_trial, title_text

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 860, 420, 90, 30, 60, 60
ROWS = 12
_STYLE = """
svg { --ink: #1f2328; --faint: #8a919a; --ground: #ffffff; --mark: #2f7ff0; background: var(--ground);
  font: 12px ui-sans-serif, system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { svg { --ink: #e6e8ea; --faint: #868d96; --ground: #14171a; } }
text { fill: var(--ink); } .faint { fill: var(--faint); } .name { font-size: 15px; font-weight: 600; }
line { stroke: var(--faint); stroke-dasharray: 2 4; } polygon { fill: var(--mark); opacity: 0.2; }
polyline { fill: none; stroke: var(--mark); stroke-width: 2; } circle { fill: var(--mark); }
.best { stroke: var(--ink); stroke-width: 3; }
"""


def find_curve_axis(found: Sweep) -> Axis | None:
    """The axis of a sweep in which one parameter moves, and is a number; None for other sweeps."""
    axes = [axis for axis in found.axes if len(axis.values) > 1]
    numbers = [axis for axis in axes if all(_is_number(value) for value in axis.values)]
    measured = sum(trial.difference is not None for trial in found.trials)
    return numbers[0] if len(axes) == 1 and numbers and measured > 1 else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class _Dot:
    """A measured value of the parameter, with its difference."""

    value: float
    difference: Estimate
    trial: Trial

    @property
    def low(self) -> float:
        return self.difference.value if self.difference.low is None else self.difference.low

    @property
    def high(self) -> float:
        return self.difference.value if self.difference.high is None else self.difference.high


def _list_dots(found: Sweep, axis: Axis) -> list[_Dot]:
    """The measured points from the lowest value to the highest."""
    dots = (_Dot(float(each.point[axis.name]), each.difference, each) for each in found.trials if each.difference)
    return sorted(dots, key=lambda dot: dot.value)


@dataclass(frozen=True, slots=True)
class _Scale:
    """Maps numbers to places between 0 and 1; those outside are put at the ends."""

    low: float
    high: float

    def place(self, value: float) -> float:
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))


def _make_scales(dots: Sequence[_Dot]) -> tuple[_Scale, _Scale]:
    """The scale of the values, and that of the differences, on which 0 has a place.

    A point that is far worse than the others is drawn at the upper end, so that the others do not lie on one line.
    """
    usual = statistics.median(abs(dot.difference.value) for dot in dots)
    low = min(0.0, *(dot.low for dot in dots))
    high = max(0.0, *(min(dot.high, 8 * usual) for dot in dots))
    margin = 0.06 * (high - low) or 1.0
    return _Scale(dots[0].value, dots[-1].value), _Scale(low - margin, high + margin)


def add_curve(root: Element, found: Sweep, axis: Axis) -> None:
    """Fill an `<svg>` element with the curve of a sweep."""
    root.set("viewBox", f"0 0 {WIDTH} {HEIGHT}")
    SubElement(root, "title").text = clean_text(title_text(found))
    SubElement(root, "style").text = _STYLE
    add_text(root, 16, 28, title_text(found), "name")
    dots = _list_dots(found, axis)
    across, up = _make_scales(dots)
    for value in (up.low, 0.0, up.high):
        add_line(root, LEFT, _y(up, value), WIDTH - RIGHT, _y(up, value))
        add_text(root, LEFT - 8, _y(up, value) + 4, f"{value:+.3g}" if value else "0", "faint", "end")
    places = [(_x(across, dot.value), dot) for dot in dots]
    band = [(x, _y(up, dot.high)) for x, dot in places] + [(x, _y(up, dot.low)) for x, dot in reversed(places)]
    SubElement(root, "polygon", points=_join(band))
    SubElement(root, "polyline", points=_join([(x, _y(up, dot.difference.value)) for x, dot in places]))
    for x, dot in places:
        _add_dot(root, x, _y(up, dot.difference.value), dot, "best" if dot.trial is found.winner else "")
    for x, dot in _thin(places):
        add_text(root, x, HEIGHT - BOTTOM + 20, format_value(dot.trial.point[axis.name]), "faint", "middle")
    add_text(root, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, axis.name, "", "middle")


def _add_dot(root: Element, x: float, y: float, dot: _Dot, kind: str) -> None:
    circle = SubElement(root, "circle", {"cx": f"{x:g}", "cy": f"{y:g}", "r": "4", "class": kind})
    SubElement(circle, "title").text = clean_text(f"{name_trial(dot.trial)}: {difference_text(dot.difference)}")


def _thin(places: Sequence[tuple[float, _Dot]]) -> Iterator[tuple[float, _Dot]]:
    """Yields the dots whose labels have room beside each other."""
    last = float("-inf")
    for x, dot in places:
        if x - last >= 48:
            last = x
            yield x, dot


def _join(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in points)


def _x(scale: _Scale, value: float) -> float:
    return round(LEFT + scale.place(value) * (WIDTH - LEFT - RIGHT), 1)


def _y(scale: _Scale, value: float) -> float:
    return round(HEIGHT - BOTTOM - scale.place(value) * (HEIGHT - TOP - BOTTOM), 1)


def draw_curve(found: Sweep, axis: Axis, width: int) -> Text:
    """The curve for a terminal of `width` columns: a dot for each value, and its interval as a vertical line."""
    dots = _list_dots(found, axis)
    across, up = _make_scales(dots)
    columns = max(10, min(width, 100) - 11)
    cells = [[" "] * columns for _ in range(ROWS)]
    cells[_row(up, 0.0)] = ["·"] * columns
    for dot in dots:
        column = min(columns - 1, int(across.place(dot.value) * columns))
        for row in range(_row(up, dot.high), _row(up, dot.low) + 1):
            cells[row][column] = "│"
        cells[_row(up, dot.difference.value)][column] = "◆" if dot.trial is found.winner else "●"
    labels = {ROWS - 1: f"{up.low:+.3g}", 0: f"{up.high:+.3g}", _row(up, 0.0): "0"}
    lines = [f"{labels.get(number, ''):>9}  {''.join(row).rstrip()}" for number, row in enumerate(cells)]
    return Text("\n".join([*lines, " " * 11 + _draw_ends(dots, axis, columns)]))


def _draw_ends(dots: Sequence[_Dot], axis: Axis, columns: int) -> str:
    """The name of the parameter between its lowest and its highest value."""
    low, high = (format_value(dot.trial.point[axis.name]) for dot in (dots[0], dots[-1]))
    room = max(0, columns - len(low) - len(high))
    return f"{low}{clean(axis.name)[:room]:^{room}}{high}"


def _row(scale: _Scale, value: float) -> int:
    return min(ROWS - 1, int((1 - scale.place(value)) * ROWS))
