"""Chooses a colour and a letter for each donor; the colours are legible on light and on dark backgrounds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from string import ascii_uppercase

from rich.style import Style
from rich.text import Text

HUES = ("#2f7ff0", "#d5640f", "#159a4a", "#c23ad6", "#d63245", "#0b93a3", "#7d63f0", "#95810b")
"""Donor colours, each with a contrast of at least 3:1 to white and to black.

Their relative luminance, as WCAG 2.2 defines it, is 0.13 to 0.28.
"""
MUTED = "#808080"


@dataclass(frozen=True, slots=True)
class DonorStyle:
    """How one donor is drawn: in `colour`, or as `letter` where the output has no colours."""

    name: str
    letter: str
    colour: str

    @property
    def again(self) -> str:
        """The donor's letter in lower case, for a donor layer that an earlier output layer uses too."""
        return self.letter.lower()


def assign_styles(donors: Sequence[str]) -> dict[str, DonorStyle]:
    """The style of each donor, by donor name; colours repeat after eight donors, letters after 26."""
    return {
        name: DonorStyle(name, ascii_uppercase[number % len(ascii_uppercase)], HUES[number % len(HUES)])
        for number, name in enumerate(donors)
    }


def mix_colours(colours: Sequence[str]) -> str:
    """The average of several `#rrggbb` colours, as `#rrggbb`."""
    parts = [[int(colour[place : place + 2], 16) for colour in colours] for place in (1, 3, 5)]
    return "#" + "".join(f"{round(sum(each) / len(each)):02x}" for each in parts)


Ink = tuple[str, str | Style]
"""A pair: one character, and the style in which it is printed."""


def join_characters(cells: Iterable[Ink]) -> Text:
    """Join characters with their styles into one line of text."""
    line = Text(no_wrap=True)
    for style, run in groupby(cells, key=lambda cell: cell[1]):
        line.append("".join(character for character, _ in run), style)
    return line
