"""Lines of single characters with styles, joined so that neighbours of one style are one run of output."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from rich.style import Style
from rich.text import Text

Ink = tuple[str, str | Style]
"""A character and how it looks."""


def line_of(cells: Iterable[Ink]) -> Text:
    """The characters as one line of text."""
    line = Text(no_wrap=True)
    for style, run in groupby(cells, key=lambda cell: cell[1]):
        line.append("".join(character for character, _ in run), style)
    return line
