"""Colours and letters of donors: each reads on light and on dark ground, and says the same without colour."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from string import ascii_uppercase

from rich.style import Style
from rich.text import Text

HUES = ("#2f7ff0", "#d5640f", "#159a4a", "#c23ad6", "#d63245", "#0b93a3", "#7d63f0", "#95810b")
"""Relative luminance of each from 0.13 to 0.28: a contrast of 3 or more against white and against black."""
MUTED = "#808080"


@dataclass(frozen=True, slots=True)
class DonorStyle:
    """How one donor is drawn: by a colour, by a letter where there is none, and named in the legend."""

    name: str
    letter: str
    colour: str

    @property
    def again(self) -> str:
        """The letter of a layer that the stack has used before."""
        return self.letter.lower()


def assign_styles(donors: Sequence[str]) -> dict[str, DonorStyle]:
    """A letter and a colour for each donor, in order; beyond eight colours and 26 letters they come round again."""
    return {
        name: DonorStyle(name, ascii_uppercase[number % len(ascii_uppercase)], HUES[number % len(HUES)])
        for number, name in enumerate(donors)
    }


def mix_colours(colours: Sequence[str]) -> str:
    """The mean of `#rrggbb` colours."""
    parts = [[int(colour[place : place + 2], 16) for colour in colours] for place in (1, 3, 5)]
    return "#" + "".join(f"{round(sum(each) / len(each)):02x}" for each in parts)


Ink = tuple[str, str | Style]
"""A character and how it looks."""


def join_characters(cells: Iterable[Ink]) -> Text:
    """The characters as one line of text."""
    line = Text(no_wrap=True)
    for style, run in groupby(cells, key=lambda cell: cell[1]):
        line.append("".join(character for character, _ in run), style)
    return line
