"""Draws the lines below a depth map: a ruler of output layer numbers, jumps, hops, and repeats of donor layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from rich.text import Text

from stacker.core.stack.graph import StackGraph, find_junctions
from stacker.view.map.raster import Axis
from stacker.view.scene.palette import MUTED, join_characters


def choose_step(least: float) -> int:
    """The smallest of the numbers 1, 2, 5, 10, 20, 50, … that is at least `least`."""
    size = 1
    while True:
        for step in (size, 2 * size, 5 * size):
            if step >= least:
                return step
        size *= 10


def draw_ruler(across: Axis) -> Text:
    """A line with the numbers of some output layers, to be shown below a depth map.

    A round number starts at the first column of its layer, and the number of the last layer ends at the right end.
    """
    last = across.count - 1
    needed = len(str(last)) + 2
    step = choose_step(needed * across.count / across.cells)
    line = [" "] * across.cells
    _write_word(line, max(0, across.cells - len(str(last))), str(last))
    for layer in range(0, last, step):
        _write_word(line, across.first(layer), str(layer))
    return Text("".join(line), "dim")


def _write_word(line: list[str], column: int, word: str) -> bool:
    """Write `word` at index `column` of the line, unless `word` would pass the end of the line or touch another word.

    Returns whether `word` was written.
    """
    around = line[max(0, column - 1) : column + len(word) + 1]
    if column + len(word) > len(line) or any(character != " " for character in around):
        return False
    line[column : column + len(word)] = word
    return True


def draw_jumps(graph: StackGraph, across: Axis) -> Text:
    """A line with the number of each jump, such as `-8`, below the output layer after the jump.

    The number is how far the donor layer index moves beyond the usual step of one. If a number does not fit, only
    its sign is shown.
    """
    line = [" "] * across.cells
    for junction in sorted(find_junctions(graph), key=lambda junction: junction.jump):
        column = across.first(junction.index)
        sign = "-" if junction.jump < 0 else "+"
        if not _write_word(line, column, f"{junction.jump:+d}") and line[column] == " ":
            line[column] = sign
    return Text("".join(line), "bold")


def draw_hops(graph: StackGraph, across: Axis) -> Text:
    """A line with the factor of each hop, such as `0.7`, below the layer that it enters; `*` if it does not fit."""
    line = [" "] * across.cells
    for node in graph.layers:
        column = across.first(node.index)
        if node.hop != 1.0 and not _write_word(line, column, f"{node.hop:.3g}") and line[column] == " ":
            line[column] = "*"
    return Text("".join(line), "bold")


def draw_repeats(graph: StackGraph, across: Axis, colours: Mapping[str, str]) -> Text:
    """A line with a digit, in the donor's colour, below each output layer that uses a donor layer again.

    The digit is `2` for the second use of the donor layer, `3` for the third, and `9` for the ninth and every later
    use.
    """
    most: dict[int, tuple[int, str]] = {}
    for index, use, donor in _count_uses(graph):
        for column in across.span(index):
            most[column] = max(most.get(column, (0, "")), (use, donor))
    uses = (most.get(column, (1, "")) for column in range(across.cells))
    return join_characters((str(min(use, 9)), colours.get(name, MUTED)) if use > 1 else (" ", "") for use, name in uses)


def _count_uses(graph: StackGraph) -> Iterator[tuple[int, int, str]]:
    """Yield a tuple for every use of a donor layer: output layer index, number of the use, donor name.

    The first use of a donor layer has the number 1.
    """
    counts: Counter[tuple[str, int | None]] = Counter()
    for node in graph.layers:
        for feed in node.feeds:
            counts[feed.donor, feed.layer] += 1
            yield node.index, counts[feed.donor, feed.layer], feed.donor
