"""Writes a family tree as a Mermaid flowchart, or as an SVG drawing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from xml.etree.ElementTree import Element, SubElement, tostring

from stacker.core.lineage.family_tree import Ancestor, State, find_conflicts
from stacker.errors import escape_text
from stacker.view.files.svg_elements import add_line, add_rect, add_text

_ENTITIES = str.maketrans({'"': "#quot;", "#": "#35;", "<": "#lt;", ">": "#gt;"})
_WIDTH, _HEIGHT, _GAP, _STEP = 420, 40, 14, 36
_STYLE = "text{font:13px sans-serif} .small{font-size:11px;fill:#666} rect{fill:#fff} line{stroke:#999}"


def lineage_mermaid(tree: Ancestor) -> str:
    """The tree as a Mermaid flowchart: an arrow leads from each ancestor to what was made from it."""
    lines = ["flowchart BT"]
    conflicts = find_conflicts(tree)
    numbers: dict[int, int] = {}
    for number, (ancestor, _, below) in enumerate(_list_rows(tree)):
        numbers[id(ancestor)] = number
        words = "<br/>".join(escape_text(word, 200).translate(_ENTITIES) for word in _list_words(ancestor) if word)
        style = ":::conflict" if ancestor in conflicts else ":::missing" if ancestor.state is State.MISSING else ""
        lines.append(f'a{number}["{words}"]{style}')
        if below is not None:
            lines.append(f'a{number} -->|"{ancestor.relation}"| a{numbers[id(below)]}')
    lines += ["classDef conflict stroke:#d97706,stroke-width:3px", "classDef missing stroke-dasharray:4"]
    return "\n  ".join(lines) + "\n"


def lineage_svg(tree: Ancestor) -> str:
    """The tree as an SVG drawing: a box a line, ancestors below and to the right of what was made from them."""
    rows = list(_list_rows(tree))
    conflicts = find_conflicts(tree)
    width = _WIDTH + _STEP * max(depth for _, depth, _ in rows) + 2 * _GAP
    height = len(rows) * (_HEIGHT + _GAP) + _GAP
    root = Element("svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {width} {height}", width=str(width))
    SubElement(root, "style").text = _STYLE
    tops: dict[int, tuple[float, float]] = {}
    for number, (ancestor, depth, below) in enumerate(rows):
        left, top = _GAP + depth * _STEP, _GAP + number * (_HEIGHT + _GAP)
        tops[id(ancestor)] = left, top
        if below is not None:
            x, y = tops[id(below)]
            add_line(root, x + 12, y + _HEIGHT, x + 12, top + _HEIGHT / 2)
            add_line(root, x + 12, top + _HEIGHT / 2, left, top + _HEIGHT / 2)
        stroke = "#d97706" if ancestor in conflicts else "#666"
        dashes = "4" if ancestor.state is State.MISSING else ""
        add_rect(root, (left, top, _WIDTH, _HEIGHT), rx="6", stroke=stroke, **{"stroke-dasharray": dashes})
        name, *rest = _list_words(ancestor)
        add_text(root, left + 10, top + 17, name)
        add_text(root, left + 10, top + 32, " · ".join(filter(None, (ancestor.relation, *rest))), "small")
    return tostring(root, encoding="unicode") + "\n"


def _list_words(ancestor: Ancestor) -> tuple[str, ...]:
    state = "" if ancestor.state is State.READ else f"{ancestor.state}: {ancestor.note}"
    return ancestor.label, ancestor.kind, ancestor.licence or "", state


def _list_rows(
    tree: Ancestor, depth: int = 0, below: Ancestor | None = None
) -> Iterator[tuple[Ancestor, int, Ancestor | None]]:
    """Every ancestor with its depth in the tree and what was made from it, in the order of drawing."""
    yield tree, depth, below
    for parent in tree.parents:
        yield from _list_rows(parent, depth + 1, tree)


DIAGRAMS: dict[str, Callable[[Ancestor], str]] = {"mermaid": lineage_mermaid, "svg": lineage_svg}
