"""Draws the depth map of a stack as SVG, with a tooltip for each output layer, in the reader's light or dark theme.

Output layers run from left to right, and the donor layers that they are made from run from bottom to top.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, tostring

from stacker.core.stack.graph import count_uses
from stacker.core.stack.nodes import Node
from stacker.view.files.svg_curves import HEIGHT, draw_curves, find_curves
from stacker.view.files.svg_elements import add_line, add_rect, add_text, clean_text
from stacker.view.files.svg_notes import ROW, draw_notes, explain_layer, is_damped, list_notes
from stacker.view.map.annotations import choose_step
from stacker.view.map.raster import find_depth
from stacker.view.scene.palette import DonorStyle, assign_styles
from stacker.view.scene.scene import Scene
from stacker.view.stack.summary import format_facts

WIDTH, LEFT, RIGHT, TOP = 1000, 44, 16, 74
PLOT = 400
STRIP = 34
"""PLOT is the height of the depth map in pixels, STRIP that of a donor's row below the map, which shows layer uses."""
_AXIS = 68
"""Height in pixels of what is written below the axis: layer numbers, jumps, and the name of the axis."""
_STYLE = """
svg { --ink: #1f2328; --faint: #8a919a; --ground: #ffffff; background: var(--ground);
  font: 12px ui-sans-serif, system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { svg { --ink: #e6e8ea; --faint: #868d96; --ground: #14171a; } }
text { fill: var(--ink); } .faint { fill: var(--faint); } .name { font-size: 17px; font-weight: 600; }
line { stroke: var(--faint); stroke-width: 1; } .jump { stroke: var(--ink); stroke-dasharray: 2 2; }
.again { opacity: 0.62; }
.damped rect { stroke: var(--ink); stroke-width: 0.8; stroke-dasharray: 2 1; }
.curve { fill: none; stroke: var(--ink); stroke-width: 1.2; }
.hit { fill: transparent; } .hit:hover, .hit.on { fill: var(--ink); fill-opacity: 0.12; }
"""


@dataclass(frozen=True, slots=True)
class Frame:
    """The area of the depth map: `count` output layers from left to right, `depth` donor layers from bottom to top."""

    count: int
    depth: int

    @property
    def across(self) -> float:
        """Width of an output layer in pixels."""
        return (WIDTH - LEFT - RIGHT) / self.count

    @property
    def up(self) -> float:
        """Height of a donor layer in pixels."""
        return PLOT / self.depth

    def x(self, layer: int) -> float:
        """The x coordinate of the left edge of an output layer, in pixels."""
        return round(LEFT + layer * self.across, 2)

    def y(self, layer: int) -> float:
        """The y coordinate of the top edge of a donor layer, in pixels."""
        return round(TOP + PLOT - (layer + 1) * self.up, 2)


def svg_text(scene: Scene) -> str:
    """The drawing of a stack as the text of an SVG file."""
    return tostring(svg_element(scene), encoding="unicode") + "\n"


def svg_element(scene: Scene, *, hover: bool = False, shaded: Collection[int] = ()) -> Element:
    """The drawing of a stack as an `<svg>` element.

    With `hover`, a transparent rectangle covers the column of each output layer and reacts to the mouse pointer, and
    the rows of text below the drawing are left to the page around it. The columns of the layers `shaded` are of the
    class `differs`.
    """
    styles = assign_styles(list(scene.donors))
    curves, notes = find_curves(scene), [] if hover else list_notes(scene)
    height = TOP + PLOT + _AXIS + STRIP * len(styles) + HEIGHT * len(curves) + ROW * (len(notes) + 1)
    root = Element("svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH} {height}", role="img")
    SubElement(root, "title").text = clean_text(f"{scene.name}: where each of its layers comes from")
    SubElement(root, "style").text = _STYLE
    add_text(root, LEFT, 26, scene.name, "name")
    add_text(root, LEFT, 46, _subtitle_text(scene), "faint")
    if scene.graph.layers:
        frame = Frame(len(scene.graph.layers), find_depth(scene.graph, scene.donors))
        _draw_axes(root, frame)
        _draw_jumps(root, frame, scene)
        _draw_layers(root, frame, scene, {name: style.colour for name, style in styles.items()})
        top = TOP + PLOT + _AXIS
        _draw_coverage(root, scene, styles, top)
        top += STRIP * len(styles)
        draw_curves(root, curves, top, LEFT, lambda layer: frame.x(layer) + frame.across / 2)
        draw_notes(root, notes, top + HEIGHT * len(curves))
        if hover:
            _draw_hover_columns(root, frame, scene, shaded)
    return root


def _subtitle_text(scene: Scene) -> str:
    facts = format_facts(scene)
    count = f"{facts['parameters']} parameters" if "parameters" in facts else None
    parts = [scene.family.name, f"{len(scene.graph.layers)} layers", count, facts.get("on disk")]
    return ", ".join(part for part in parts if part)


def _draw_axes(root: Element, frame: Frame) -> None:
    bottom = TOP + PLOT
    add_line(root, LEFT - 4, TOP, LEFT - 4, bottom + 4)
    add_line(root, LEFT - 4, bottom + 4, WIDTH - RIGHT, bottom + 4)
    add_text(root, LEFT - 4, TOP - 8, "donor layer", "faint")
    add_text(root, WIDTH - RIGHT, bottom + 50, "output layer", "faint", "end")
    for layer in _choose_ticks(frame.depth, 12):
        add_text(root, LEFT - 8, frame.y(layer) + frame.up / 2 + 4, str(layer), "faint", "end")
    for layer in _choose_ticks(frame.count, 20):
        add_text(root, frame.x(layer) + frame.across / 2, bottom + 18, str(layer), "faint", "middle")


def _choose_ticks(count: int, most: int) -> Iterator[int]:
    """Yield the layer numbers to label on an axis of `count` layers: about `most` round numbers, and `count` - 1."""
    step = choose_step(count / most)
    yield from (number for number in range(0, count - step // 2, step) if number != count - 1)
    yield count - 1


def _draw_jumps(root: Element, frame: Frame, scene: Scene) -> None:
    """Draw a dashed vertical line at each junction, and the number of the jump, such as `-8`, below the axis.

    The line connects the donor layer before the junction with the donor layer after the junction.
    """
    for index, junction in scene.jumps.items():
        before, after = (frame.y(feed.layer or 0) + frame.up / 2 for feed in (junction.before, junction.after))
        add_line(root, frame.x(index), before, frame.x(index), after, "jump")
        add_text(root, frame.x(index), TOP + PLOT + 34, f"{junction.jump:+d}", "", "middle")


def _draw_layers(root: Element, frame: Frame, scene: Scene, colours: dict[str, str]) -> None:
    group = SubElement(root, "g", {"class": "layers"})
    seen: set[tuple[str, int | None]] = set()
    for node in scene.graph.layers:
        parts = SubElement(group, "g", {"data-layer": str(node.index)})
        SubElement(parts, "title").text = clean_text(explain_layer(scene, node))
        again = all((feed.donor, feed.layer) in seen for feed in node.feeds)
        kinds = ("again" if again else "", "damped" if is_damped(node) else "")
        if any(kinds):
            parts.set("class", " ".join(filter(None, kinds)))
        seen |= {(feed.donor, feed.layer) for feed in node.feeds}
        _draw_feeds(parts, frame, node, colours)


def _draw_feeds(parts: Element, frame: Frame, node: Node, colours: dict[str, str]) -> None:
    """Draw a rectangle for each donor layer that the output layer `node` is made from, in the donor's colour.

    Layers of different donors with the same layer number share the height of one rectangle equally.
    """
    height = max(frame.up, 4.0)
    together = [[other for other in node.feeds if other.layer == feed.layer] for feed in node.feeds]
    for feed, sharing in zip(node.feeds, together, strict=True):
        part = height / len(sharing)
        top = frame.y(feed.layer or 0) + frame.up - height + part * sharing.index(feed)
        add_rect(parts, (frame.x(node.index), top, frame.across + 0.15, part), fill=colours[feed.donor])


def _draw_coverage(root: Element, scene: Scene, styles: dict[str, DonorStyle], top: float) -> None:
    """Draw a row for each donor from `top` on, with a bar for each donor layer.

    A higher bar means that the stack uses the layer more often.
    """
    deepest = max(donor.depth for donor in scene.donors.values())
    width = (WIDTH - LEFT - RIGHT) / deepest
    for row, (name, uses) in enumerate(count_uses(scene.graph, scene.donors).items()):
        base = top + STRIP * (row + 1) - 8
        label = f"{name}: {uses.count(0)} of {len(uses)} layers unused" if 0 in uses else f"{name}: every layer used"
        add_rect(root, (LEFT, base - 24, 8, 8), fill=styles[name].colour)
        add_text(root, LEFT + 13, base - 16, label)
        most = max(2, *uses)
        for layer, count in enumerate(uses):
            height = 10 * count / most if count else 1
            box = (LEFT + layer * width, base - height, max(width - 0.5, 0.5), height)
            add_rect(root, box, fill=styles[name].colour if count else "var(--faint)")


def _draw_hover_columns(root: Element, frame: Frame, scene: Scene, shaded: Collection[int]) -> None:
    for node in scene.graph.layers:
        box = (frame.x(node.index), TOP, frame.across, PLOT)
        kind = "hit differs" if node.index in shaded else "hit"
        add_rect(root, box, class_=kind, tabindex="-1").set("data-layer", str(node.index))
