"""Draws on the terminal how far two checkpoints are from each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import isnan

from rich.console import Console, ConsoleOptions, RenderResult
from rich.style import Style
from rich.table import Table
from rich.text import Text

from stacker.core.study.distances import Distance, WeightDistances, rank_layers
from stacker.view.map.depth_map import is_plain
from stacker.view.scene.palette import MUTED, Ink, join_characters
from stacker.view.scene.tabular import make_table
from stacker.view.weights.shades import Shade, distance_text, find_shade, make_shades

_MOST_LISTED = 5
TITLE = "distance by role and layer, relative to the norm of the first"


@dataclass(frozen=True, slots=True)
class WeightMap:
    """A row for each role and a column for each layer, then tables of roles and other tensors, and the conclusion."""

    found: WeightDistances

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yields the map, divided into bands where the console is too narrow, and what follows it."""
        cells = self.found.by_cell()
        shades = make_shades(distance.relative for distance in cells.values())
        if shades:
            yield from _draw_map(self.found, shades, options.max_width, plain=is_plain(console))
            yield Text()
        changed = [each for each in _list_rows(self.found) if each[1].differing]
        if changed:
            yield _draw_table(changed)
            yield Text()
        for sentence in list_sentences(self.found):
            yield Text(sentence)


def _draw_map(found: WeightDistances, shades: tuple[Shade, ...], width: int, *, plain: bool) -> Iterator[Text]:
    roles, cells = [*found.by_role()], found.by_cell()
    margin = max(map(len, roles)) + 2
    room = max(width - margin, 8)
    cell = 2 if found.depth * 2 <= room else 1
    yield Text(TITLE)
    for first in range(0, found.depth, room // cell):
        layers = range(first, min(first + room // cell, found.depth))
        for role in roles:
            row = [cells.get((role, layer)) for layer in layers]
            inks = [ink for each in row for ink in [_draw_cell(each, shades, plain=plain)] * cell]
            yield Text(f"{role:<{margin}}").append(join_characters(inks))
        yield Text(" " * margin + _label_layers(layers, cell), "dim")
    yield _draw_legend(shades, plain=plain)


def _label_layers(layers: range, cell: int) -> str:
    """The numbers of some layers, each below the left edge of its cell, `cell` characters wide."""
    step = 5 if cell == 2 else 10
    marks = (layer for layer in layers if layer % step == 0 or layer == layers.start)
    return "".join(f"{layer:<{cell * (step - layer % step)}}" for layer in marks).rstrip()


def _draw_cell(distance: Distance | None, shades: Iterable[Shade], *, plain: bool) -> Ink:
    if distance is None:
        return (" ", "")
    shade = find_shade(distance.relative, shades)
    if shade is None:
        return ("0" if plain else "·", "" if plain else MUTED)
    return (shade.character, "") if plain else (" ", Style(bgcolor=shade.colour))


def _draw_legend(shades: Iterable[Shade], *, plain: bool) -> Text:
    items = [Text("0" if plain else "·").append(" the same")]
    for shade in shades:
        ink: Ink = (shade.character, "") if plain else (" ", Style(bgcolor=shade.colour))
        items.append(join_characters([ink, ink]).append(f" {shade.legend}"))
    return Text("  ").join(items)


def _list_rows(found: WeightDistances) -> Iterator[tuple[str, Distance, str]]:
    """For each role in the layers and each other tensor: its name, its distance, and the layer that changed most."""
    cells = found.by_cell()
    for role, distance in found.by_role().items():
        layers = {layer: each.relative for (name, layer), each in cells.items() if name == role}
        most = max(layers, key=lambda layer: (not isnan(layers[layer]), layers[layer]))
        yield role, distance, f"{most} ({distance_text(layers[most])})"
    for tensor in found.outside:
        yield tensor.name, tensor.distance, ""


def _draw_table(rows: Iterable[tuple[str, Distance, str]]) -> Table:
    head = ("role or tensor", "distance", "cosine", "elements that differ", "most in layer")
    lines = [
        (name, distance_text(each.relative), _cosine_text(each.cosine), f"{each.differing / each.elements:.1%}", most)
        for name, each, most in rows
    ]
    return make_table(head, lines, right=head[1:])


def _cosine_text(cosine: float) -> str:
    return "" if isnan(cosine) else f"{cosine:.6f}"


def list_sentences(found: WeightDistances) -> Iterator[str]:
    """What was found, in sentences: the whole distance, the layers that changed most and least, what was skipped."""
    total = found.total
    if total.differing:
        share = f"{total.differing:,} of {total.elements:,} elements differ"
        yield f"weights: the distance is {distance_text(total.relative)}, the cosine {total.cosine:.6f}; {share}"
    elif total.tensors:
        yield f"weights: the values of {total.tensors} tensors are the same"
    ranked = [pair for pair in rank_layers(found) if pair[1]]
    if len(ranked) > 1:
        most = ", ".join(f"{layer} ({distance_text(distance)})" for layer, distance in ranked[:_MOST_LISTED])
        yield f"layers that changed most: {most}; least: {ranked[-1][0]} ({distance_text(ranked[-1][1])})"
    yield from _list_skipped(found)


def _list_skipped(found: WeightDistances) -> Iterator[str]:
    reasons: dict[tuple[str, bool], list[str]] = {}
    for each in found.skipped:
        reasons.setdefault((each.reason, each.same), []).append(each.name)
    for (reason, same), names in reasons.items():
        listed = ", ".join(names[:_MOST_LISTED]) + (", …" if len(names) > _MOST_LISTED else "")
        yield f"no distance, {reason}{', the same bytes' if same else ''}: {len(names)} tensors ({listed})"
