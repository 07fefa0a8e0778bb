"""The lines under a depth map: the numbers of the output layers, where the stack jumps, which layers come again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from rich.text import Text

from stacker.core.stack.graph import StackGraph, find_junctions
from stacker.view.map.raster import Axis
from stacker.view.scene.palette import MUTED, line_of


def round_step(least: float) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50 … that is not less than `least`."""
    size = 1
    while True:
        for step in (size, 2 * size, 5 * size):
            if step >= least:
                return step
        size *= 10


def scale_line(across: Axis) -> Text:
    """A ruler of output layers: round numbers, each over the first column of its layer, and the last layer's."""
    last = across.count - 1
    needed = len(str(last)) + 2
    step = round_step(needed * across.count / across.cells)
    line = [" "] * across.cells
    _put(line, max(0, across.cells - len(str(last))), str(last))
    for layer in range(0, last, step):
        _put(line, across.first(layer), str(layer))
    return Text("".join(line), "dim")


def _put(line: list[str], column: int, word: str) -> bool:
    """Write a word if there is room for it, with a space on both sides."""
    around = line[max(0, column - 1) : column + len(word) + 1]
    if column + len(word) > len(line) or any(character != " " for character in around):
        return False
    line[column : column + len(word)] = word
    return True


def jump_line(graph: StackGraph, across: Axis) -> Text:
    """How far the stack jumps, under the layers where it does; an arrow where the number has no room."""
    line = [" "] * across.cells
    for junction in sorted(find_junctions(graph), key=lambda each: each.jump):
        column = across.first(junction.index)
        arrow = "-" if junction.jump < 0 else "+"
        if not _put(line, column, f"{junction.jump:+d}") and line[column] == " ":
            line[column] = arrow
    return Text("".join(line), "bold")


def use_line(graph: StackGraph, across: Axis, colours: Mapping[str, str]) -> Text:
    """2 under layers that the stack uses for the second time, 3 for the third; 9 stands for more too."""
    most: dict[int, tuple[int, str]] = {}
    for index, use, donor in _uses(graph):
        for column in across.span(index):
            most[column] = max(most.get(column, (0, "")), (use, donor))
    told = (most.get(column, (1, "")) for column in range(across.cells))
    return line_of((str(min(use, 9)), colours.get(donor, MUTED)) if use > 1 else (" ", "") for use, donor in told)


def _uses(graph: StackGraph) -> Iterator[tuple[int, int, str]]:
    """Each output layer with the number of times that its donor layer has been used by then, and the donor."""
    counts: Counter[tuple[str, int | None]] = Counter()
    for node in graph.layers:
        for feed in node.feeds:
            counts[feed.donor, feed.layer] += 1
            yield node.index, counts[feed.donor, feed.layer], feed.donor
