"""Draws as SVG how far two checkpoints are from each other: a row for each role, a column for each layer."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, tostring

from stacker.core.study.distances import Distance, WeightDistances
from stacker.view.files.svg_elements import add_rect, add_text, clean_text
from stacker.view.weights.shades import Shade, distance_text, find_shade, make_shades
from stacker.view.weights.terminal import TITLE, list_sentences

_WIDTH, _LEFT, _RIGHT, _TOP, _ROW = 1000, 150, 16, 64, 20
_STYLE = """
svg { --ink: #1f2328; --faint: #8a919a; --ground: #ffffff; background: var(--ground);
  font: 12px ui-sans-serif, system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { svg { --ink: #e6e8ea; --faint: #868d96; --ground: #14171a; } }
text { fill: var(--ink); } .faint { fill: var(--faint); } .name { font-size: 17px; font-weight: 600; }
rect { stroke: var(--ground); stroke-width: 1; } .cell:hover { stroke: var(--ink); stroke-width: 2; }
"""


def weights_svg_text(one: str, other: str, found: WeightDistances) -> str:
    """The map of distances between the checkpoints named `one` and `other` as the text of an SVG file."""
    roles, cells = [*found.by_role()], found.by_cell()
    shades = make_shades(distance.relative for distance in cells.values())
    height = _TOP + len(roles) * _ROW + 100
    root = Element("svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {_WIDTH} {height}", role="img")
    title = f"{one} and {other}"
    SubElement(root, "title").text = clean_text(title)
    SubElement(root, "style").text = _STYLE
    add_text(root, 16, 26, title, "name")
    add_text(root, 16, 46, TITLE, "faint")
    for number, role in enumerate(roles):
        y = _TOP + number * _ROW
        add_text(root, _LEFT - 8, y + 14, role, "faint", "end")
        _draw_row(root, y, role, {layer: each for (name, layer), each in cells.items() if name == role}, found, shades)
    bottom = _TOP + len(roles) * _ROW
    _draw_ticks(root, found.depth, bottom + 16)
    _draw_legend(root, shades, bottom + 32)
    for number, sentence in enumerate([*list_sentences(found)][:2]):
        add_text(root, 16, bottom + 70 + number * 18, sentence, "faint")
    return tostring(root, encoding="unicode") + "\n"


def _draw_row(
    root: Element, y: int, role: str, row: dict[int, Distance], found: WeightDistances, shades: tuple[Shade, ...]
) -> None:
    across = _find_width(found.depth)
    for layer, distance in row.items():
        shade = find_shade(distance.relative, shades)
        box = (round(_LEFT + layer * across, 2), y, across, _ROW)
        rect = add_rect(root, box, fill=shade.colour if shade else "none", class_="cell")
        said = f"layer {layer}, {role}: {distance_text(distance.relative)}, cosine {distance.cosine:.6f}"
        SubElement(rect, "title").text = clean_text(said)


def _find_width(depth: int) -> float:
    return (_WIDTH - _LEFT - _RIGHT) / max(depth, 1)


def _draw_ticks(root: Element, depth: int, y: float) -> None:
    for layer in range(0, depth, 5 if depth <= 60 else 10):
        add_text(root, round(_LEFT + (layer + 0.5) * _find_width(depth), 2), y, str(layer), "faint", "middle")


def _draw_legend(root: Element, shades: tuple[Shade, ...], top: float) -> None:
    for number, shade in enumerate(shades):
        left = _LEFT + number * 100
        add_rect(root, (left, top, 14, 14), fill=shade.colour)
        add_text(root, left + 19, top + 11, shade.legend, "faint")
