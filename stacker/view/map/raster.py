"""The geometry of a depth map: which cells of a grid the layers of a stack fall on, and which its jumps cross.

Columns count output layers from the left, rows donor layers from the bottom. It knows no colours and no characters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stacker.core.stack.graph import StackGraph, find_junctions, find_segments
from stacker.core.stack.nodes import Node
from stacker.core.values.donor import Donor

WIDEST = 4
"""Columns that one layer has at the most."""
LOWEST = 12
"""Rows below which a map is not made lower for the sake of its lines, which have no gaps up to a slope of one."""


@dataclass(frozen=True, slots=True)
class Axis:
    """`count` layers along `cells` cells: each has the same number of cells, or else some share one."""

    count: int
    cells: int

    def first(self, layer: int) -> int:
        """The first cell of a layer."""
        return layer * self.cells // self.count

    def span(self, layer: int) -> range:
        """All cells of a layer."""
        start = self.first(layer)
        return range(start, start + max(1, self.cells // self.count))


def make_axis(count: int, room: int, most: int) -> Axis:
    """An axis for `count` layers in at most `room` cells, with at most `most` cells a layer."""
    return Axis(count, room if count > room else count * max(1, min(most, room // count)))


@dataclass(slots=True)
class Cell:
    """What falls on one cell: donors in the order they came; `again` while each of them was used before."""

    donors: list[str] = field(default_factory=list)
    again: bool = True


@dataclass(frozen=True, slots=True)
class Raster:
    """A grid of cells by (column, row); `links` are cells that a jump crosses and no layer fills."""

    across: Axis
    up: Axis
    cells: Mapping[tuple[int, int], Cell]
    links: frozenset[tuple[int, int]]


def draw(graph: StackGraph, donors: Mapping[str, Donor], columns: int, rows: int, tallest: int = 1) -> Raster:
    """The stack on at most `columns` × `rows` cells; a layer is at most `tallest` cells high.

    Where layers share a column, a run of neighbours is drawn at its first, so that lines are equally thin everywhere.
    """
    across = make_axis(len(graph.layers), columns, WIDEST)
    depth = drawn_depth(graph, donors)
    steepest = max(LOWEST, depth * across.cells // across.count)
    up = make_axis(depth, min(rows, steepest), tallest)
    cells: dict[tuple[int, int], Cell] = {}
    seen: set[tuple[str, int | None]] = set()
    starts = {segment.start for segment in find_segments(graph)}
    drawn = {across.first(index): index for index in reversed(range(len(graph.layers)))}
    for node in graph.layers:
        column = across.first(node.index)
        if drawn[column] == node.index or node.index in starts:
            _fill(cells, node, across, up, seen)
        seen |= {(feed.donor, feed.layer) for feed in node.feeds}
    return Raster(across, up, cells, frozenset(_links(graph, across, up) - cells.keys()))


def _fill(
    cells: dict[tuple[int, int], Cell], node: Node, across: Axis, up: Axis, seen: set[tuple[str, int | None]]
) -> None:
    for feed in node.feeds:
        for place in ((x, y) for x in across.span(node.index) for y in up.span(feed.layer or 0)):
            cell = cells.setdefault(place, Cell())
            if feed.donor not in cell.donors:
                cell.donors.append(feed.donor)
            cell.again &= (feed.donor, feed.layer) in seen


def drawn_depth(graph: StackGraph, donors: Mapping[str, Donor]) -> int:
    """The depth of the deepest donor that gives a layer."""
    return max(donors[feed.donor].depth for node in graph.layers for feed in node.feeds)


def _links(graph: StackGraph, across: Axis, up: Axis) -> set[tuple[int, int]]:
    """The cells between the two ends of each jump, in the column where the stack goes on."""
    found = set()
    for junction in find_junctions(graph):
        ends = sorted((up.span(junction.before.layer or 0), up.span(junction.after.layer or 0)), key=lambda s: s.start)
        column = across.first(junction.index)
        found |= {(column, row) for row in range(ends[0].stop, ends[1].start)}
    return found
