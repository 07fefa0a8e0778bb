"""Which layers of each donor a stack uses: a strip of one character per layer, higher for more uses."""

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
    """For each donor, a line of counts and a strip of bars, or of digits on a console without colours or Unicode."""

    scene: Scene

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yields the lines; a strip with more layers than the console has columns is wrapped."""
        styles = assign_styles(list(self.scene.donors))
        for name, uses in count_uses(self.scene.graph, self.scene.donors).items():
            yield uses_text(name, uses, styles[name])
            glyphs = _DIGITS if is_plain(console) or options.ascii_only else _BARS
            yield from _draw_strip(uses, styles[name], options.max_width - _INDENT, glyphs)


def uses_text(name: str, uses: Sequence[int], style: DonorStyle) -> Text:
    """A line with how many layers of a donor are used never, once, twice or more often.

    `uses` has the number of uses of each layer.
    """
    counts = {"never": uses.count(0), "once": uses.count(1), "twice": uses.count(2)}
    counts["more often"] = len(uses) - sum(counts.values())
    words = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    return Text.assemble((name, style.colour), f"  {len(uses)} layers: {words}")


def _draw_strip(uses: Sequence[int], style: DonorStyle, room: int, glyphs: str) -> Iterator[Text]:
    """A strip with one character per layer, wrapped to `room` columns.

    If that takes more than _MOST_LINES lines, a character shows the most used of several neighbouring layers.
    """
    per = -(-len(uses) // (max(1, room) * _MOST_LINES))
    shown = [max(uses[start : start + per]) for start in range(0, len(uses), per)]
    lines = -(-len(shown) // max(1, room))
    length = -(-len(shown) // lines)
    for start in range(0, len(shown), length):
        part = shown[start : start + length]
        marks = ((glyphs[min(count, len(glyphs) - 1)], style.colour if count else "dim") for count in part)
        yield Text.assemble(" " * _INDENT, join_characters(marks))
