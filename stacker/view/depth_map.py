"""The picture of a stack: output layer across, donor layer up, one colour and one letter a donor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.text import Text

from stacker.core.donor import Donor
from stacker.core.graph import StackGraph

COLOURS = ("cyan", "magenta", "yellow", "green", "blue", "red", "bright_cyan", "bright_magenta")
MARKS = "ABCDEFGH"
BLEND = "◆"
ROWS = 16


def donor_styles(donors: Sequence[str]) -> dict[str, tuple[str, str]]:
    """A letter and a colour for each donor, in order."""
    return {name: (MARKS[n % len(MARKS)], COLOURS[n % len(COLOURS)]) for n, name in enumerate(donors)}


def depth_map(graph: StackGraph, donors: Mapping[str, Donor], width: int) -> Text:
    """The map, at most `width` columns wide; where layers outnumber columns, a column shows the first of several."""
    depth = max(donor.depth for donor in donors.values())
    rows = min(ROWS, depth)
    columns = max(1, min(width - 6, len(graph.layers)))
    grid = [[("", "")] * columns for _ in range(rows)]
    styles = donor_styles(list(donors))
    for node in reversed(graph.layers):
        column = node.index * columns // len(graph.layers)
        for feed in node.feeds:
            letter, colour = styles[feed.donor]
            mark = BLEND if len(node.feeds) > 1 else letter.lower() if node.copy else letter
            grid[(feed.layer or 0) * rows // depth][column] = (mark, colour)
    text = Text(no_wrap=True)
    for row in reversed(range(rows)):
        text.append(f"{row * depth // rows:4d} ", "dim")
        for mark, colour in grid[row]:
            text.append(mark or " ", colour)
        text.append("\n")
    last = str(len(graph.layers) - 1)
    text.append("     0" + " " * max(0, columns - 1 - len(last)) + (last if columns > len(last) else ""), "dim")
    return text
