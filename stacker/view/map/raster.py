"""Computes the grid of a depth map: which cells the layers of a stack fill, and which cells its junctions cross.

Columns stand for output layers, from left to right, and rows for donor layers, from bottom to top. Other modules choose
the colours and characters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stacker.core.stack.graph import StackGraph, find_junctions, find_segments
from stacker.core.stack.nodes import Node
from stacker.core.values.donor import Donor

WIDEST = 4
"""The most columns that one output layer fills."""
LOWEST = 12
"""A map loses rows until its lines rise at most one row per column, which leaves no gaps, but keeps this many rows."""


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis of a depth map with `cells` cells for `count` layers.

    Each layer has the same number of cells. If there are fewer cells than layers, neighbouring layers share a cell.
    """

    count: int
    cells: int

    def first(self, layer: int) -> int:
        """The index of the first cell of a layer."""
        return layer * self.cells // self.count

    def span(self, layer: int) -> range:
        """The indices of all cells of a layer."""
        start = self.first(layer)
        return range(start, start + max(1, self.cells // self.count))


def make_axis(count: int, room: int, most: int) -> Axis:
    """An axis for `count` layers, with at most `room` cells in total and at most `most` cells for each layer."""
    return Axis(count, room if count > room else count * max(1, min(most, room // count)))


@dataclass(slots=True)
class Cell:
    """A filled cell, which shows one or more donor layers.

    `donors` are the names of the donors. `again` is True if earlier output layers use all of the donor layers too.
    """

    donors: list[str] = field(default_factory=list)
    again: bool = True


@dataclass(frozen=True, slots=True)
class Raster:
    """The grid of a depth map, with the axis `across` for output layers and the axis `up` for donor layers.

    `cells` are the filled cells, by (column, row). `links` are the (column, row) of the empty cells to draw a line in,
    which connects the two donor layers that meet at a junction.
    """

    across: Axis
    up: Axis
    cells: Mapping[tuple[int, int], Cell]
    links: frozenset[tuple[int, int]]


def draw_raster(graph: StackGraph, donors: Mapping[str, Donor], columns: int, rows: int, tallest: int = 1) -> Raster:
    """Compute the grid of a stack's depth map, at most `columns` × `rows` cells, up to `tallest` rows per donor layer.

    If several output layers share a column, only the first of them is drawn, and any other that does not continue the
    donor layers before it.
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
    """Pairs (column, row) of the cells between the two donor layers that meet at a junction, for every junction.

    The column is the first column of the output layer after the junction.
    """
    found = set()
    for junction in find_junctions(graph):
        ends = sorted((up.span(junction.before.layer or 0), up.span(junction.after.layer or 0)), key=lambda s: s.start)
        column = across.first(junction.index)
        found |= {(column, row) for row in range(ends[0].stop, ends[1].start)}
    return found
