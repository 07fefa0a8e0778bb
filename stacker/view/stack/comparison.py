"""Two stacks side by side: what they have in common, in which figures and layers they differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from stacker.core.stack.nodes import Node
from stacker.view.map.depth_map import DepthMap
from stacker.view.scene.formatting import node_method_text, node_source_text, span_text
from stacker.view.scene.scene import Scene
from stacker.view.stack.preview import Legend, preview_json
from stacker.view.stack.summary import format_facts

_BESIDE = 56
"""Columns that a map needs to stand beside another."""


def draw_comparison(left: Scene, right: Scene) -> Group:
    """Figures, maps, and the layers that differ."""
    return Group(_figures(left, right), Text(), Maps(left, right), Text(), _changes(left, right))


@dataclass(frozen=True, slots=True)
class Maps:
    """Both depth maps: beside each other where there is room, else one above the other."""

    left: Scene
    right: Scene

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Each map under its stack's name."""
        pictures = [_picture(scene) for scene in (self.left, self.right)]
        if options.max_width < 2 * _BESIDE + 2:
            yield Group(pictures[0], Text(), pictures[1])
            return
        grid = Table.grid(expand=True, padding=(0, 2, 0, 0))
        grid.add_column(ratio=1)
        grid.add_column(ratio=1)
        grid.add_row(*pictures)
        yield grid


def _picture(scene: Scene) -> RenderableType:
    drawn = [DepthMap(scene.graph, scene.donors)] if scene.graph.layers else []
    return Group(Text(scene.name, "bold"), *drawn, Legend(scene))


def _figures(left: Scene, right: Scene) -> Table:
    """A row a figure; those that differ stand out."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", style="dim")
    table.add_column(left.name, overflow="fold")
    table.add_column(right.name, overflow="fold")
    here, there = (
        {"layers": f"{scene.family.name}, {len(scene.graph.layers)}"} | format_facts(scene) for scene in (left, right)
    )
    for name in here | there:
        one, other = here.get(name, ""), there.get(name, "")
        table.add_row(name, one, Text(other, "bold") if one != other else Text("the same", "dim"))
    return table


def _changes(left: Scene, right: Scene) -> RenderableType:
    """The runs of layers that one stack has and the other has not, in the order of the stacks."""
    found = [*find_changed_runs(left, right)]
    if not found:
        return Text("the layers are the same")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("layers", f"only in {left.name}", "layers", f"only in {right.name}"):
        table.add_column(name, justify="right" if name == "layers" else "left", overflow="fold")
    for (start, stop), (begin, end) in found:
        table.add_row(*_run(left, start, stop), *_run(right, begin, end))
    return table


def _run(scene: Scene, start: int, stop: int) -> tuple[str, str]:
    if start == stop:
        return "", ""
    made = [_made(node) for node in scene.graph.layers[start:stop]]
    return span_text(start, stop), made[0] if len(made) == 1 else f"{made[0]} to {made[-1]}"


def _made(node: Node) -> str:
    return " ".join(part for part in (node_source_text(node), node_method_text(node)) if part)


def find_changed_runs(left: Scene, right: Scene) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Output layers [start, stop) of the left stack, and those of the right that stand in their place."""
    here, there = ([_made(node) for node in scene.graph.layers] for scene in (left, right))
    for kind, start, stop, begin, end in SequenceMatcher(None, here, there, autojunk=False).get_opcodes():
        if kind != "equal":
            yield (start, stop), (begin, end)


def comparison_json(left: Scene, right: Scene) -> dict[str, Any]:
    """Both previews, and the runs of layers in which they differ."""
    runs = [{"left": list(one), "right": list(other)} for one, other in find_changed_runs(left, right)]
    return {"left": preview_json(left), "right": preview_json(right), "layers_that_differ": runs}
