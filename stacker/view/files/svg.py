"""The depth map as a drawing to keep: SVG that follows the reader's light or dark ground and names each layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, tostring

from stacker.core.stack.graph import count_uses
from stacker.core.stack.nodes import Node
from stacker.view.map.marks import round_step
from stacker.view.map.raster import drawn_depth
from stacker.view.scene.palette import DonorStyle, donor_styles
from stacker.view.scene.scene import Scene
from stacker.view.scene.wording import node_text
from stacker.view.stack.head import facts

WIDTH, LEFT, RIGHT, TOP = 1000, 44, 16, 64
PLOT = 400
STRIP = 34
"""Pixels in height: the map, and one donor's coverage below it."""
_STYLE = """
svg { --ink: #1f2328; --faint: #8a919a; --ground: #ffffff; background: var(--ground);
  font: 12px ui-sans-serif, system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { svg { --ink: #e6e8ea; --faint: #868d96; --ground: #14171a; } }
text { fill: var(--ink); } .faint { fill: var(--faint); } .name { font-size: 17px; font-weight: 600; }
line { stroke: var(--faint); stroke-width: 1; } .jump { stroke: var(--ink); stroke-dasharray: 2 2; }
.again { opacity: 0.62; } .hit { fill: transparent; } .hit:hover, .hit.on { fill: var(--ink); fill-opacity: 0.12; }
"""


@dataclass(frozen=True, slots=True)
class Frame:
    """Where layers lie in the drawing, in pixels: `count` across, `depth` up."""

    count: int
    depth: int

    @property
    def across(self) -> float:
        return (WIDTH - LEFT - RIGHT) / self.count

    @property
    def up(self) -> float:
        return PLOT / self.depth

    def x(self, layer: int) -> float:
        return round(LEFT + layer * self.across, 2)

    def y(self, layer: int) -> float:
        """The top of a donor layer."""
        return round(TOP + PLOT - (layer + 1) * self.up, 2)


def svg_text(scene: Scene) -> str:
    """The drawing as a file of its own."""
    return tostring(svg_element(scene), encoding="unicode") + "\n"


def svg_element(scene: Scene, *, hover: bool = False) -> Element:
    """The drawing; with `hover`, each output layer has a transparent column over it that programs can listen to."""
    styles = donor_styles(list(scene.donors))
    height = TOP + PLOT + 56 + STRIP * len(styles)
    root = Element("svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH} {height}", role="img")
    SubElement(root, "title").text = f"{scene.name}: where each of its layers comes from"
    SubElement(root, "style").text = _STYLE
    _text(root, LEFT, 26, scene.name, "name")
    _text(root, LEFT, 46, _subtitle(scene), "faint")
    if scene.graph.layers:
        frame = Frame(len(scene.graph.layers), drawn_depth(scene.graph, scene.donors))
        _axes(root, frame)
        _jumps(root, frame, scene)
        _layers(root, frame, scene, {name: style.colour for name, style in styles.items()})
        _strips(root, scene, styles)
        if hover:
            _hits(root, frame, scene)
    return root


def _subtitle(scene: Scene) -> str:
    said = facts(scene)
    words = [scene.family.name, f"{len(scene.graph.layers)} layers", said.get("parameters"), said.get("on disk")]
    return ", ".join(word for word in words if word)


def _text(parent: Element, x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> None:
    place = {"x": f"{x:g}", "y": f"{y:g}", "text-anchor": anchor}
    SubElement(parent, "text", place | ({"class": kind} if kind else {})).text = text


def _line(parent: Element, x1: float, y1: float, x2: float, y2: float, kind: str = "") -> None:
    ends = {"x1": f"{x1:g}", "y1": f"{y1:g}", "x2": f"{x2:g}", "y2": f"{y2:g}"}
    SubElement(parent, "line", ends | ({"class": kind} if kind else {}))


def _rect(parent: Element, box: tuple[float, float, float, float], **attributes: str) -> Element:
    x, y, width, height = box
    place = {"x": f"{x:g}", "y": f"{y:g}", "width": f"{width:.2f}", "height": f"{height:.2f}"}
    return SubElement(parent, "rect", place | {key.strip("_"): value for key, value in attributes.items() if value})


def _axes(root: Element, frame: Frame) -> None:
    bottom = TOP + PLOT
    _line(root, LEFT - 4, TOP, LEFT - 4, bottom + 4)
    _line(root, LEFT - 4, bottom + 4, WIDTH - RIGHT, bottom + 4)
    for layer in _ticks(frame.depth, 12):
        _text(root, LEFT - 8, frame.y(layer) + frame.up / 2 + 4, str(layer), "faint", "end")
    for layer in _ticks(frame.count, 20):
        _text(root, frame.x(layer) + frame.across / 2, bottom + 18, str(layer), "faint", "middle")


def _ticks(count: int, most: int) -> Iterator[int]:
    """Round numbers below `count`, and the last; not more than about `most`, none too near the last."""
    step = round_step(count / most)
    yield from (number for number in range(0, count - step // 2, step) if number != count - 1)
    yield count - 1


def _jumps(root: Element, frame: Frame, scene: Scene) -> None:
    """A dashed line from where the stack was to where it goes on, and the length under the axis."""
    for index, junction in scene.jumps.items():
        before, after = (frame.y(feed.layer or 0) + frame.up / 2 for feed in (junction.before, junction.after))
        _line(root, frame.x(index), before, frame.x(index), after, "jump")
        _text(root, frame.x(index), TOP + PLOT + 34, f"{junction.jump:+d}", "", "middle")


def _layers(root: Element, frame: Frame, scene: Scene, colours: dict[str, str]) -> None:
    group = SubElement(root, "g", {"class": "layers"})
    seen: set[tuple[str, int | None]] = set()
    for node in scene.graph.layers:
        parts = SubElement(group, "g", {"data-layer": str(node.index)})
        SubElement(parts, "title").text = f"layer {node.index}: {node_text(node)}"
        if all((feed.donor, feed.layer) in seen for feed in node.feeds):
            parts.set("class", "again")
        seen |= {(feed.donor, feed.layer) for feed in node.feeds}
        _blocks(parts, frame, node, colours)


def _blocks(parts: Element, frame: Frame, node: Node, colours: dict[str, str]) -> None:
    """A block for each donor layer; where several are the same layer of their donors, they share one's height."""
    height = max(frame.up, 4.0)
    together = [[other for other in node.feeds if other.layer == feed.layer] for feed in node.feeds]
    for feed, sharing in zip(node.feeds, together, strict=True):
        part = height / len(sharing)
        top = frame.y(feed.layer or 0) + frame.up - height + part * sharing.index(feed)
        _rect(parts, (frame.x(node.index), top, frame.across + 0.15, part), fill=colours[feed.donor])


def _strips(root: Element, scene: Scene, styles: dict[str, DonorStyle]) -> None:
    """How often each donor's layers are used: a bar a layer, as high as its uses."""
    deepest = max(donor.depth for donor in scene.donors.values())
    width = (WIDTH - LEFT - RIGHT) / deepest
    for row, (name, uses) in enumerate(count_uses(scene.graph, scene.donors).items()):
        base = TOP + PLOT + 56 + STRIP * (row + 1) - 8
        words = f"{name}: {uses.count(0)} of {len(uses)} layers unused" if 0 in uses else f"{name}: every layer used"
        _rect(root, (LEFT, base - 24, 8, 8), fill=styles[name].colour)
        _text(root, LEFT + 13, base - 16, words)
        for layer, count in enumerate(uses):
            high = 10 * count / max(2, *uses) if count else 1
            box = (LEFT + layer * width, base - high, max(width - 0.5, 0.5), high)
            _rect(root, box, fill=styles[name].colour if count else "var(--faint)")


def _hits(root: Element, frame: Frame, scene: Scene) -> None:
    for node in scene.graph.layers:
        box = (frame.x(node.index), TOP, frame.across, PLOT)
        _rect(root, box, class_="hit", id=f"layer-{node.index}", tabindex="-1").set("data-layer", str(node.index))
