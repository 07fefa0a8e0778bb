"""Draws how often a stack uses each layer of its donors: for each donor, a strip with one character for each layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from stacker.core.stack.graph import count_uses
from stacker.view.map.depth_map import is_plain
from stacker.view.scene.palette import DonorStyle, assign_styles, join_characters
from stacker.view.scene.scene import Scene

_BARS = "·▂▄▆█"
_DIGITS = ".123456789"
_INDENT = 2
_MOST_LINES = 6


@dataclass(frozen=True, slots=True)
class Coverage:
    """Shows how often a stack uses the layers of each donor: a line of counts, then a strip with a character per layer.

    The characters are bars; on a console without colours or without Unicode, they are digits. rich prints this
    object.
    """

    scene: Scene

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield for each donor the line of counts and the strip, which is wrapped to the width of the console."""
        styles = assign_styles(list(self.scene.donors))
        for name, uses in count_uses(self.scene.graph, self.scene.donors).items():
            yield uses_text(name, uses, styles[name])
            glyphs = _DIGITS if is_plain(console) or options.ascii_only else _BARS
            yield from _draw_strip(uses, styles[name], options.max_width - _INDENT, glyphs)


def uses_text(name: str, uses: Sequence[int], style: DonorStyle) -> Text:
    """A line that tells how many layers of a donor the stack uses never, once, twice and more often.

    `uses` lists how many times the stack uses each layer of the donor, in the order of the layers.
    """
    counts = {"never": uses.count(0), "once": uses.count(1), "twice": uses.count(2)}
    counts["more often"] = len(uses) - sum(counts.values())
    words = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    return Text.assemble((name, style.colour), f"  {len(uses)} layers: {words}")


def _draw_strip(uses: Sequence[int], style: DonorStyle, room: int, glyphs: str) -> Iterator[Text]:
    """Yield the lines of a strip with one character for each donor layer, wrapped to `room` columns.

    `glyphs` has the characters for 0, 1, 2, … uses. If the strip would need more than _MOST_LINES lines, each
    character stands for several neighbouring layers and shows the uses of the most used layer.
    """
    per = -(-len(uses) // (max(1, room) * _MOST_LINES))
    shown = [max(uses[start : start + per]) for start in range(0, len(uses), per)]
    lines = -(-len(shown) // max(1, room))
    length = -(-len(shown) // lines)
    for start in range(0, len(shown), length):
        part = shown[start : start + length]
        marks = ((glyphs[min(count, len(glyphs) - 1)], style.colour if count else "dim") for count in part)
        yield Text.assemble(" " * _INDENT, join_characters(marks))
