"""Draws differences with their intervals around 0: in the terminal, and as SVG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, tostring

from rich.text import Text

from stacker.measure.results import Estimate

Rows = Sequence[tuple[str, Estimate | None]]
"""Differences by name; None for the model that the others are compared with."""
_MARGIN = 0.06
WIDTH, LINE, TOP, LEFT, RIGHT = 860, 30, 70, 240, 150
_STYLE = """
svg { --ink: #1f2328; --faint: #8a919a; --ground: #ffffff; --mark: #2f7ff0; background: var(--ground);
  font: 13px ui-sans-serif, system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { svg { --ink: #e6e8ea; --faint: #868d96; --ground: #14171a; } }
text { fill: var(--ink); } .faint { fill: var(--faint); } .name { font-size: 17px; font-weight: 600; }
line { stroke: var(--faint); } line.bar { stroke: var(--mark); stroke-width: 3; } circle { fill: var(--mark); }
"""


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps differences from `low` to `high`, between which 0 is, to places from 0 to 1."""

    low: float
    high: float

    def place(self, value: float) -> float:
        """The place of a value."""
        return (value - self.low) / (self.high - self.low)


def find_scale(rows: Rows) -> Scale:
    """A scale on which 0 and all intervals have room."""
    known = [estimate for _, estimate in rows if estimate]
    ends = [end for each in known for end in (each.value, each.low, each.high) if end is not None]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    margin = _MARGIN * (high - low) or 1.0
    return Scale(low - margin, high + margin)


def draw_intervals(title: str, rows: Rows, width: int) -> Iterator[Text]:
    """Yields the plot for a terminal of `width` columns as one text; nothing if there are no rows."""
    if not rows:
        return
    scale, names = find_scale(rows), min(max(len(name) for name, _ in rows), width // 3)
    across = max(10, min(width, 100) - names - 2)
    lines = [Text(" " * (names + 2) + title[:across], "dim")]
    lines += [Text(f"{name[:names]:<{names}}  ").append(_draw_row(each, scale, across)) for name, each in rows]
    yield Text("\n").join([*lines, Text(" " * (names + 2) + _draw_axis(scale, across), "dim")])


def _draw_row(estimate: Estimate | None, scale: Scale, across: int) -> Text:
    cells = [" "] * across
    cells[_column(0.0, scale, across)] = "│"
    if estimate and estimate.low is not None and estimate.high is not None:
        first, last = (_column(end, scale, across) for end in (estimate.low, estimate.high))
        cells[first : last + 1] = "─" * (last + 1 - first)
        cells[first], cells[last] = "├", "┤"
    if estimate:
        cells[_column(estimate.value, scale, across)] = "●"
    return Text("".join(cells).rstrip())


def _column(value: float, scale: Scale, across: int) -> int:
    return min(across - 1, int(scale.place(value) * across))


def _draw_axis(scale: Scale, across: int) -> str:
    """The ends of the scale and 0 as a line of text; 0 is left out where it would run into an end."""
    low, high, zero = f"{scale.low:+.3g}", f"{scale.high:+.3g}", _column(0.0, scale, across)
    cells = list(low.ljust(across - len(high)) + high)[:across]
    if len(low) < zero < across - len(high) - 1:
        cells[zero] = "0"
    return "".join(cells)


def intervals_svg(title: str, rows: Rows) -> str:
    """The plot as the text of an SVG file, in the reader's light or dark theme."""
    height = TOP + LINE * len(rows) + 40
    root = Element("svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH} {height}", role="img")
    SubElement(root, "title").text = title
    SubElement(root, "style").text = _STYLE
    _write(root, 16, 30, title, "name")
    scale = find_scale(rows)
    zero, bottom = _x(scale.place(0.0)), TOP + LINE * len(rows)
    _line(root, zero, TOP - 16, zero, bottom)
    for number, (name, estimate) in enumerate(rows):
        _draw_line(root, TOP + LINE * number, name, estimate, scale)
    for end, text in ((scale.low, f"{scale.low:+.3g}"), (0.0, "0"), (scale.high, f"{scale.high:+.3g}")):
        _write(root, _x(scale.place(end)), bottom + 20, text, "faint", "middle")
    return tostring(root, encoding="unicode") + "\n"


def _draw_line(root: Element, y: int, name: str, estimate: Estimate | None, scale: Scale) -> None:
    _write(root, LEFT - 16, y + 4, name, anchor="end")
    if estimate is None:
        _write(root, WIDTH - RIGHT + 12, y + 4, "compared with", "faint")
        return
    said = f"{estimate.value:+.4f}"
    if estimate.low is not None and estimate.high is not None:
        _line(root, _x(scale.place(estimate.low)), y, _x(scale.place(estimate.high)), y, kind="bar")
        said += f" [{estimate.low:+.4f}, {estimate.high:+.4f}]"
    dot = SubElement(root, "circle", cx=str(_x(scale.place(estimate.value))), cy=str(y), r="5")
    SubElement(dot, "title").text = f"{name}: {said}"
    _write(root, WIDTH - RIGHT + 12, y + 4, f"{estimate.value:+.4f}")


def _x(place: float) -> float:
    return round(LEFT + place * (WIDTH - LEFT - RIGHT), 1)


def _line(root: Element, *ends: float, kind: str = "") -> None:
    names = ("x1", "y1", "x2", "y2")
    SubElement(root, "line", {**{name: str(end) for name, end in zip(names, ends, strict=True)}, "class": kind})


def _write(root: Element, x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> None:
    SubElement(root, "text", {"x": str(x), "y": str(y), "class": kind, "text-anchor": anchor}).text = text
