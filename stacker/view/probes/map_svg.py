"""Draws the map of edits as SVG, with a tooltip for each edit, in the reader's light or dark theme."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, tostring

from stacker.measure.probes.results import Change, DepthMap
from stacker.view.files.svg_elements import add_rect, add_text, clean_text
from stacker.view.probes.heat import HEAT_CLASSES, Panel, find_heat, make_panels
from stacker.view.probes.words import change_text, edit_text, map_text

WIDTH, LEFT, RIGHT, TOP = 1000, 44, 16, 60
ROW, GAP = 20, 62
_STYLE = """
svg { --ink: #1f2328; --faint: #8a919a; --ground: #ffffff; background: var(--ground);
  font: 12px ui-sans-serif, system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { svg { --ink: #e6e8ea; --faint: #868d96; --ground: #14171a; } }
text { fill: var(--ink); } .faint { fill: var(--faint); } .name { font-size: 17px; font-weight: 600; }
rect { stroke: var(--ground); stroke-width: 1; } .cell:hover, .cell.on { stroke: var(--ink); stroke-width: 2; }
"""


def map_svg_text(found: DepthMap) -> str:
    """The map of edits as the text of an SVG file."""
    return tostring(map_svg_element(found), encoding="unicode") + "\n"


def map_svg_element(found: DepthMap) -> Element:
    """The map of edits as an `<svg>` element; each edit is a rectangle of class `cell` with its number."""
    panels = make_panels(found)
    height = TOP + sum(panel.longest * ROW + GAP for panel in panels) + 40
    root = Element("svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH} {height}", role="img")
    SubElement(root, "title").text = clean_text(f"{found.name}: what repeating and dropping its layers changes")
    SubElement(root, "style").text = _STYLE
    add_text(root, LEFT, 26, found.name, "name")
    add_text(root, LEFT, 46, map_text(found).partition(": ")[2], "faint")
    numbers = {change.edit: number for number, change in enumerate(found.changes)}
    top = TOP
    for panel in panels:
        _draw_panel(root, panel, top, {change: numbers[change.edit] for change in panel.changes.values()})
        top += panel.longest * ROW + GAP
    _draw_legend(root, top)
    return root


def _draw_panel(root: Element, panel: Panel, top: int, numbers: dict[Change, int]) -> None:
    across = (WIDTH - LEFT - RIGHT) / panel.depth
    add_text(root, LEFT, top + 16, f"{panel.label}: runs of so many layers, by the first layer of the run")
    base = top + 24
    for length in range(1, panel.longest + 1):
        y = base + (panel.longest - length) * ROW
        add_text(root, LEFT - 8, y + ROW / 2 + 4, str(length), "faint", "end")
        for start, change in enumerate(panel.row(length)):
            if change is not None:
                box = (round(LEFT + start * across, 2), y, across, ROW)
                _draw_cell(root, box, change, numbers[change])
    step = 5 if panel.depth <= 60 else 10
    _draw_ticks(root, range(0, panel.depth, step), across, base + panel.longest * ROW + 16)


def _draw_cell(root: Element, box: tuple[float, float, float, float], change: Change, number: int) -> None:
    rect = add_rect(root, box, fill=find_heat(change.alone.mean).colour, class_="cell")
    rect.set("data-edit", str(number))
    SubElement(rect, "title").text = f"{edit_text(change)}: {change_text(change.alone)}"


def _draw_ticks(root: Element, layers: Sequence[int], across: float, y: float) -> None:
    for layer in layers:
        add_text(root, round(LEFT + (layer + 0.5) * across, 2), y, str(layer), "faint", "middle")


def _draw_legend(root: Element, top: int) -> None:
    add_text(root, LEFT, top + 12, "change of loss, nats a token:", "faint")
    for number, heat in enumerate(HEAT_CLASSES):
        left = LEFT + 180 + number * 82
        add_rect(root, (left, top, 16, 16), fill=heat.colour)
        add_text(root, left + 21, top + 12, heat.legend)
