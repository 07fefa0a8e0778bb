"""The picture of a stack in a terminal: output layer across, donor layer up, one colour and one letter a donor.

With colours two rows share a line of half blocks; without, each cell is a donor's letter, small where the layer is
used again. Jumps are thin lines, so that what goes back shows as a sawtooth.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.style import Style
from rich.text import Text

from stacker.core.stack.graph import StackGraph
from stacker.core.values.donor import Donor
from stacker.view.map.annotations import choose_step, draw_jumps, draw_repeats, draw_ruler
from stacker.view.map.raster import Axis, Cell, Raster, draw_raster
from stacker.view.scene.palette import MUTED, DonorStyle, Ink, assign_styles, join_characters, mix_colours

LINES = 20
"""Lines of the map at the most."""
GUTTER = 6
"""Columns to the left of the map: a layer's number and the axis."""
SMALL = 10
"""Donors of fewer layers are drawn two cells a layer."""
Styles = Mapping[str, DonorStyle]


@dataclass(frozen=True, slots=True)
class DepthMap:
    """The map with its axes, as wide as it may be; rich asks it to draw itself for a console."""

    graph: StackGraph
    donors: Mapping[str, Donor]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The lines of the map; colours as far as the console has them."""
        columns = max(1, options.max_width - GUTTER)
        plain = is_plain(console)
        raster = _raster(self.graph, self.donors, columns, LINES, plain=plain)
        styles = assign_styles(list(self.donors))
        labels = _row_labels(raster.up, plain=plain)
        for number, line in enumerate(_lines(raster, styles, plain=plain, ascii_only=options.ascii_only)):
            label = labels.get(number, "")
            axis = ("|" if options.ascii_only else "┤" if label else "│") + " "
            yield Text.assemble((f"{label:>4}", "dim"), (axis[:1], "dim"), " ", line, no_wrap=True, end="\n")
        for name, line in (
            ("", draw_ruler(raster.across)),
            ("jump", draw_jumps(self.graph, raster.across)),
            ("again", draw_repeats(self.graph, raster.across, {name: style.colour for name, style in styles.items()})),
        ):
            if line.plain.strip():
                yield Text.assemble((f"{name:>5} ", "dim"), line, no_wrap=True)


def draw_thumbnail(graph: StackGraph, donors: Mapping[str, Donor], width: int = 24, height: int = 4) -> Text:
    """A small map of braille dots without axes, `height` lines of at most `width` columns; it reads without colour."""
    raster = draw_raster(graph, donors, width * 2, height * 4)
    styles = assign_styles(list(donors))
    lines = [
        join_characters(_dots(raster, styles, column * 2, line * 4) for column in range(-(-raster.across.cells // 2)))
        for line in range(-(-raster.up.cells // 4))
    ]
    return Text("\n", no_wrap=True).join(reversed(lines))


_BRAILLE = ((0x40, 0x80), (0x04, 0x20), (0x02, 0x10), (0x01, 0x08))
"""The bits of the dots of a braille character, by row from the bottom and column."""


def _dots(raster: Raster, styles: Styles, left: int, bottom: int) -> Ink:
    bits, last = 0, ""
    for up, row in enumerate(_BRAILLE):
        for across, bit in enumerate(row):
            cell = raster.cells.get((left + across, bottom + up))
            if cell:
                bits, last = bits | bit, styles[cell.donors[-1]].colour
    return (chr(0x2800 + bits), last) if bits else (" ", "")


def is_plain(console: Console) -> bool:
    """Whether a console shows no colours."""
    return console.no_color or console.color_system is None


def _raster(graph: StackGraph, donors: Mapping[str, Donor], columns: int, lines: int, *, plain: bool) -> Raster:
    if plain:
        return draw_raster(graph, donors, columns, lines)
    deepest = max(donor.depth for donor in donors.values())
    return draw_raster(graph, donors, columns, lines * 2, tallest=2 if deepest < SMALL else 1)


def _row_labels(up: Axis, *, plain: bool) -> dict[int, str]:
    """The numbers of donor layers beside the map, by line from the top: round ones, not crowded."""
    height = 1 if plain else 2
    lines = -(-up.cells // height)
    step = choose_step(2 * height * up.count / up.cells)
    labels = {lines - 1 - up.first(layer) // height: str(layer) for layer in range(0, up.count, step)}
    return labels if {0, 1} & labels.keys() else labels | {0: str(up.count - 1)}


def _lines(raster: Raster, styles: Styles, *, plain: bool, ascii_only: bool) -> Iterator[Text]:
    """The lines of the map from the top."""
    rows = 1 if plain else 2
    for line in reversed(range(-(-raster.up.cells // rows))):
        columns = range(raster.across.cells)
        if plain:
            yield Text("".join(_letter(raster, styles, (column, line), ascii_only=ascii_only) for column in columns))
        else:
            yield join_characters(_half_blocks(raster, styles, column, line * 2) for column in columns)


def _letter(raster: Raster, styles: Styles, place: tuple[int, int], *, ascii_only: bool) -> str:
    cell = raster.cells.get(place)
    if cell is None:
        return ("|" if ascii_only else "│") if place in raster.links else " "
    if len(cell.donors) > 1:
        return "*" if ascii_only else "◆"
    style = styles[cell.donors[0]]
    return style.again if cell.again else style.letter


def _half_blocks(raster: Raster, styles: Styles, column: int, bottom: int) -> Ink:
    low, high = (raster.cells.get((column, row)) for row in (bottom, bottom + 1))
    if low is None and high is None:
        link = {(column, bottom), (column, bottom + 1)} & raster.links
        return ("│", MUTED) if link else (" ", "")
    both = next((cell for cell in (high, low) if cell and len(cell.donors) > 1), None)
    if both and (low is None or high is None or low.donors == high.donors):
        return "▚", _pair(both, styles)
    if low is None or high is None:
        return "▄" if low else "▀", _colour(low or high or Cell(), styles)
    colours = [_colour(cell, styles) for cell in (high, low)]
    return ("█", colours[0]) if colours[0] == colours[1] else ("▀", Style(color=colours[0], bgcolor=colours[1]))


def _pair(cell: Cell, styles: Styles) -> Style:
    return Style(color=styles[cell.donors[0]].colour, bgcolor=styles[cell.donors[1]].colour)


def _colour(cell: Cell, styles: Styles) -> str:
    return mix_colours([styles[donor].colour for donor in cell.donors])
