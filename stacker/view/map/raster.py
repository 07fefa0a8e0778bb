"""The grid behind a depth map: which cells the layers of a stack fill, and which cells its jumps cross.

Columns stand for output layers, from the left; rows stand for donor layers, from the bottom. This module knows no
colours or characters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stacker.core.stack.graph import StackGraph, find_junctions, find_segments
from stacker.core.stack.nodes import Node
from stacker.core.values.donor import Donor

WIDEST = 4
"""The most columns that one output layer takes."""
LOWEST = 12
"""The fewest rows to which a map is reduced so that its lines rise at most one row per column and have no gaps."""


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis of `cells` cells for `count` layers: each layer takes the same number of cells, or several share one."""

    count: int
    cells: int

    def first(self, layer: int) -> int:
        """The first cell of a layer."""
        return layer * self.cells // self.count

    def span(self, layer: int) -> range:
        """The cells of a layer."""
        start = self.first(layer)
        return range(start, start + max(1, self.cells // self.count))


def make_axis(count: int, room: int, most: int) -> Axis:
    """An axis for `count` layers on at most `room` cells, with at most `most` cells per layer."""
    return Axis(count, room if count > room else count * max(1, min(most, room // count)))


@dataclass(slots=True)
class Cell:
    """One cell: the donors drawn in it, and `again`, True if earlier output layers use all donor layers drawn in it."""

    donors: list[str] = field(default_factory=list)
    again: bool = True


@dataclass(frozen=True, slots=True)
class Raster:
    """The filled cells of a map by (column, row), and the two axes; `links` are the empty cells that a jump crosses."""

    across: Axis
    up: Axis
    cells: Mapping[tuple[int, int], Cell]
    links: frozenset[tuple[int, int]]


def draw_raster(graph: StackGraph, donors: Mapping[str, Donor], columns: int, rows: int, tallest: int = 1) -> Raster:
    """Draw the stack on at most `columns` × `rows` cells; a layer is at most `tallest` cells high.

    If several layers share a column, only the first of them and the first of a segment are drawn, to keep lines thin.
    """
    across = make_axis(len(graph.layers), columns, WIDEST)
    depth = find_depth(graph, donors)
    steepest = max(LOWEST, depth * across.cells // across.count)
    up = make_axis(depth, min(rows, steepest), tallest)
    cells: dict[tuple[int, int], Cell] = {}
    seen: set[tuple[str, int | None]] = set()
    starts = {segment.start for segment in find_segments(graph)}
    drawn = {across.first(index): index for index in reversed(range(len(graph.layers)))}
    for node in graph.layers:
        column = across.first(node.index)
        if drawn[column] == node.index or node.index in starts:
            _fill_cells(cells, node, across, up, seen)
        seen |= {(feed.donor, feed.layer) for feed in node.feeds}
    return Raster(across, up, cells, frozenset(_find_links(graph, across, up) - cells.keys()))


def _fill_cells(
    cells: dict[tuple[int, int], Cell], node: Node, across: Axis, up: Axis, seen: set[tuple[str, int | None]]
) -> None:
    for feed in node.feeds:
        for place in ((x, y) for x in across.span(node.index) for y in up.span(feed.layer or 0)):
            cell = cells.setdefault(place, Cell())
            if feed.donor not in cell.donors:
                cell.donors.append(feed.donor)
            cell.again &= (feed.donor, feed.layer) in seen


def find_depth(graph: StackGraph, donors: Mapping[str, Donor]) -> int:
    """The number of layers of the deepest donor that the stack uses."""
    return max(donors[feed.donor].depth for node in graph.layers for feed in node.feeds)


def _find_links(graph: StackGraph, across: Axis, up: Axis) -> set[tuple[int, int]]:
    """The cells that jumps cross: in the column of the layer after a jump, the rows between the two donor layers."""
    found = set()
    for junction in find_junctions(graph):
        ends = sorted((up.span(junction.before.layer or 0), up.span(junction.after.layer or 0)), key=lambda s: s.start)
        column = across.first(junction.index)
        found |= {(column, row) for row in range(ends[0].stop, ends[1].start)}
    return found
