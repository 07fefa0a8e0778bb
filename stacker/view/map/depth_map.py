"""Draws the depth map of a stack in a terminal: output layers from left to right, donor layers from bottom to top.

With colours, a line of the terminal shows two rows of cells as half blocks in the colours of the donors. Without
colours, a line shows one row, and a cell is the letter of its donor, in lower case if an earlier output layer uses the
same donor layer. A thin vertical line marks a junction, where two output layers meet that are not consecutive layers of
one donor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.style import Style
from rich.text import Text

from stacker.core.stack.graph import StackGraph
from stacker.core.values.donor import Donor
from stacker.view.map.annotations import choose_step, draw_hops, draw_jumps, draw_repeats, draw_ruler
from stacker.view.map.raster import Axis, Cell, Raster, draw_raster
from stacker.view.scene.palette import MUTED, DonorStyle, Ink, assign_styles, join_characters, mix_colours

LINES = 20
"""The most lines of the terminal that the map takes, without the lines below it."""
GUTTER = 6
"""Number of columns to the left of the map, where layer numbers and the vertical axis are drawn."""
SMALL = 10
"""If every donor has fewer layers than this, a map with colours may draw each donor layer two rows high."""
Styles = Mapping[str, DonorStyle]


@dataclass(frozen=True, slots=True)
class DepthMap:
    """Shows the depth map of a stack with axes and annotations, as wide as the console. rich prints this object."""

    graph: StackGraph
    donors: Mapping[str, Donor]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines of the map and its annotations from top to bottom, in colour if the console has colours."""
        columns = max(1, options.max_width - GUTTER)
        plain = is_plain(console)
        raster = _make_raster(self.graph, self.donors, columns, LINES, plain=plain)
        styles = assign_styles(list(self.donors))
        labels = _label_rows(raster.up, plain=plain)
        for number, line in enumerate(_draw_lines(raster, styles, plain=plain, ascii_only=options.ascii_only)):
            label = labels.get(number, "")
            axis = ("|" if options.ascii_only else "┤" if label else "│") + " "
            yield Text.assemble((f"{label:>4}", "dim"), (axis[:1], "dim"), " ", line, no_wrap=True, end="\n")
        for name, line in (
            ("", draw_ruler(raster.across)),
            ("jump", draw_jumps(self.graph, raster.across)),
            ("hop", draw_hops(self.graph, raster.across)),
            ("again", draw_repeats(self.graph, raster.across, {name: style.colour for name, style in styles.items()})),
        ):
            if line.plain.strip():
                yield Text.assemble((f"{name:>5} ", "dim"), line, no_wrap=True)


def draw_thumbnail(graph: StackGraph, donors: Mapping[str, Donor], width: int = 24, height: int = 4) -> Text:
    """A small depth map in braille dots, without axes, at most `width` columns wide and `height` lines high.

    The map is readable without colour.
    """
    raster = draw_raster(graph, donors, width * 2, height * 4)
    styles = assign_styles(list(donors))
    lines = [
        join_characters(
            _draw_dots(raster, styles, column * 2, line * 4) for column in range(-(-raster.across.cells // 2))
        )
        for line in range(-(-raster.up.cells // 4))
    ]
    return Text("\n", no_wrap=True).join(reversed(lines))


_BRAILLE = ((0x40, 0x80), (0x04, 0x20), (0x02, 0x10), (0x01, 0x08))
"""The bits of the dots in a braille character: a pair (left dot, right dot) for each row, from the bottom row up."""


def _draw_dots(raster: Raster, styles: Styles, left: int, bottom: int) -> Ink:
    bits, last = 0, ""
    for up, row in enumerate(_BRAILLE):
        for across, bit in enumerate(row):
            cell = raster.cells.get((left + across, bottom + up))
            if cell:
                bits, last = bits | bit, styles[cell.donors[-1]].colour
    return (chr(0x2800 + bits), last) if bits else (" ", "")


def is_plain(console: Console) -> bool:
    """Whether the console shows no colours."""
    return console.no_color or console.color_system is None


def _make_raster(graph: StackGraph, donors: Mapping[str, Donor], columns: int, lines: int, *, plain: bool) -> Raster:
    if plain:
        return draw_raster(graph, donors, columns, lines)
    deepest = max(donor.depth for donor in donors.values())
    return draw_raster(graph, donors, columns, lines * 2, tallest=2 if deepest < SMALL else 1)


def _label_rows(up: Axis, *, plain: bool) -> dict[int, str]:
    """The labels of the vertical axis, by line number from 0 at the top of the map.

    Each label is the number of a donor layer as text.
    """
    height = 1 if plain else 2
    lines = -(-up.cells // height)
    step = choose_step(2 * height * up.count / up.cells)
    labels = {lines - 1 - up.first(layer) // height: str(layer) for layer in range(0, up.count, step)}
    return labels if {0, 1} & labels.keys() else labels | {0: str(up.count - 1)}


def _draw_lines(raster: Raster, styles: Styles, *, plain: bool, ascii_only: bool) -> Iterator[Text]:
    """Yield the lines of the map from top to bottom: letters if `plain`, else half blocks in colour.

    If `plain` and `ascii_only`, signs for blends and junctions are ASCII characters too.
    """
    rows = 1 if plain else 2
    for line in reversed(range(-(-raster.up.cells // rows))):
        columns = range(raster.across.cells)
        if plain:
            yield Text(
                "".join(_choose_letter(raster, styles, (column, line), ascii_only=ascii_only) for column in columns)
            )
        else:
            yield join_characters(_draw_half_blocks(raster, styles, column, line * 2) for column in columns)


def _choose_letter(raster: Raster, styles: Styles, place: tuple[int, int], *, ascii_only: bool) -> str:
    cell = raster.cells.get(place)
    if cell is None:
        return ("|" if ascii_only else "│") if place in raster.links else " "
    if len(cell.donors) > 1:
        return "*" if ascii_only else "◆"
    style = styles[cell.donors[0]]
    return style.again if cell.again else style.letter


def _draw_half_blocks(raster: Raster, styles: Styles, column: int, bottom: int) -> Ink:
    low, high = (raster.cells.get((column, row)) for row in (bottom, bottom + 1))
    if low is None and high is None:
        link = {(column, bottom), (column, bottom + 1)} & raster.links
        return ("│", MUTED) if link else (" ", "")
    both = next((cell for cell in (high, low) if cell and len(cell.donors) > 1), None)
    if both and (low is None or high is None or low.donors == high.donors):
        return "▚", _pair_style(both, styles)
    if low is None or high is None:
        return "▄" if low else "▀", _mixed_colour(low or high or Cell(), styles)
    colours = [_mixed_colour(cell, styles) for cell in (high, low)]
    return ("█", colours[0]) if colours[0] == colours[1] else ("▀", Style(color=colours[0], bgcolor=colours[1]))


def _pair_style(cell: Cell, styles: Styles) -> Style:
    return Style(color=styles[cell.donors[0]].colour, bgcolor=styles[cell.donors[1]].colour)


def _mixed_colour(cell: Cell, styles: Styles) -> str:
    return mix_colours([styles[donor].colour for donor in cell.donors])
