"""Compares two stacks: their figures, their depth maps, and the layers in which the stacks differ."""

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
from stacker.view.scene.tabular import make_table
from stacker.view.stack.preview import Legend, preview_json
from stacker.view.stack.summary import format_facts

_MAP_WIDTH = 56
"""Columns that each of two depth maps needs to be drawn beside the other map.

On a narrower console, one map is drawn above the other.
"""


def draw_comparison(left: Scene, right: Scene) -> Group:
    """The figures and depth maps of two stacks, and the layers in which the stacks differ."""
    return Group(_draw_figures(left, right), Text(), Maps(left, right), Text(), _draw_changes(left, right))


@dataclass(frozen=True, slots=True)
class Maps:
    """Shows the depth maps of two stacks: side by side if the console is wide enough, else one above the other."""

    left: Scene
    right: Scene

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yields, for each of the two stacks, its name, its depth map, and the map's legend."""
        pictures = [_draw_map(scene) for scene in (self.left, self.right)]
        if options.max_width < 2 * _MAP_WIDTH + 2:
            yield Group(pictures[0], Text(), pictures[1])
            return
        grid = Table.grid(expand=True, padding=(0, 2, 0, 0))
        grid.add_column(ratio=1)
        grid.add_column(ratio=1)
        grid.add_row(*pictures)
        yield grid


def _draw_map(scene: Scene) -> RenderableType:
    drawn = [DepthMap(scene.graph, scene.donors)] if scene.graph.layers else []
    return Group(Text(scene.name, "bold"), *drawn, Legend(scene))


def _draw_figures(left: Scene, right: Scene) -> Table:
    """A table with a row for each fact about the stacks, such as `parameters`, and a column for each stack.

    A value of the right stack is bold if the value of the left stack differs; otherwise `the same` is shown.
    """
    rows = [
        (Text(name, "dim"), one, Text(other, "bold") if one != other else Text("the same", "dim"))
        for name, one, other in pair_facts(left, right)
    ]
    return make_table(("", left.name, right.name), rows)


def pair_facts(left: Scene, right: Scene) -> Iterator[tuple[str, str, str]]:
    """Yield the name of each fact about the stacks with its value for each of them, "" where a stack has none."""
    lefts, rights = (
        {"layers": f"{scene.family.name}, {len(scene.graph.layers)}"} | format_facts(scene) for scene in (left, right)
    )
    for name in lefts | rights:
        yield name, lefts.get(name, ""), rights.get(name, "")


def _draw_changes(left: Scene, right: Scene) -> RenderableType:
    """A table of the ranges of output layers that differ, or a line that says that no output layer differs."""
    rows = [*list_changes(left, right)]
    if not rows:
        return Text("the layers are the same")
    columns = ("layers", f"only in {left.name}", "layers", f"only in {right.name}")
    return make_table(columns, rows, right=("layers",), header_style="dim")


def list_changes(left: Scene, right: Scene) -> Iterator[tuple[str, str, str, str]]:
    """Yield, for each range of layers that differs, its numbers and sources in the left and in the right stack."""
    for run, other in find_changed_runs(left, right):
        yield *_run_texts(left, run), *_run_texts(right, other)


def _run_texts(scene: Scene, run: tuple[int, int]) -> tuple[str, str]:
    """Two texts about the half-open range `run` of output layers: their numbers, and how the first and last are made.

    Both texts are empty for an empty range.
    """
    layers = [_layer_text(node) for node in scene.graph.layers[slice(*run)]]
    return (span_text(*run), layers[0] if len(layers) == 1 else f"{layers[0]} to {layers[-1]}") if layers else ("", "")


def _layer_text(node: Node) -> str:
    return " ".join(part for part in (node_source_text(node), node_method_text(node)) if part)


def find_changed_runs(left: Scene, right: Scene) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """For each difference, yields a range of layers of the left stack and the range of the right one that replaces it.

    Ranges are half-open, and one of the two is empty if its stack has no layers in place of the other range.
    """
    lefts, rights = ([_layer_text(node) for node in scene.graph.layers] for scene in (left, right))
    for kind, start, stop, begin, end in SequenceMatcher(None, lefts, rights, autojunk=False).get_opcodes():
        if kind != "equal":
            yield (start, stop), (begin, end)


def comparison_json(left: Scene, right: Scene) -> dict[str, Any]:
    """A JSON value with the previews of two stacks and the half-open ranges of layers in which the stacks differ."""
    runs = [{"left": list(one), "right": list(other)} for one, other in find_changed_runs(left, right)]
    return {"left": preview_json(left), "right": preview_json(right), "layers_that_differ": runs}
