"""Draws what probes found on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.style import Style
from rich.table import Table
from rich.text import Text

from stacker.core.stack.graph import Junction
from stacker.core.stack.nodes import Feed
from stacker.measure.probes.results import Change, DepthMap, Likeness, Proposal, Survey
from stacker.view.map.depth_map import is_plain
from stacker.view.probes.heat import HEAT_CLASSES, HeatClass, Panel, find_heat, make_panels
from stacker.view.probes.words import change_text, map_text, verdict_text
from stacker.view.scene.palette import MUTED, Ink, join_characters
from stacker.view.scene.tabular import make_table

_MARGIN = 4
_BAR = 10


@dataclass(frozen=True, slots=True)
class HeatMap:
    """The map of edits: for each way of editing, a row for each length of run and a column for each first layer."""

    found: DepthMap

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yields the lines of the map, which is divided into bands where the console is too narrow."""
        plain = is_plain(console)
        room = max(options.max_width - _MARGIN, 8)
        cell = 2 if self.found.depth * 2 <= room else 1
        yield Text(map_text(self.found))
        for panel in make_panels(self.found):
            for first in range(0, panel.depth, room // cell):
                yield Text()
                yield from _draw_band(panel, range(first, min(first + room // cell, panel.depth)), cell, plain=plain)
        yield Text()
        yield _draw_legend(plain=plain)


def _draw_band(panel: Panel, starts: range, cell: int, *, plain: bool) -> Iterator[Text]:
    yield Text(f"{panel.label}: runs of so many layers, by the first layer of the run")
    for length in range(panel.longest, 0, -1):
        row = [*panel.row(length)][starts.start : starts.stop]
        if row:
            cells = [ink for change in row for ink in [_draw_cell(change, plain=plain)] * cell]
            yield Text(f"{length:>{_MARGIN - 1}} ").append(join_characters(cells))
    step = 5 if cell == 2 else 10
    labels = "".join(
        f"{start:<{cell * (step - start % step)}}" for start in starts if start % step == 0 or start == starts.start
    )
    yield Text(" " * _MARGIN + labels.rstrip(), "dim")


def _draw_cell(change: Change | None, *, plain: bool) -> Ink:
    if change is None:
        return (" " if plain else "·", MUTED)
    return _draw_class(find_heat(change.alone.mean), plain=plain)


def _draw_class(heat: HeatClass, *, plain: bool) -> Ink:
    return (heat.character, "") if plain else (" ", Style(bgcolor=heat.colour))


def _draw_legend(*, plain: bool) -> Text:
    items = [join_characters([_draw_class(heat, plain=plain)] * 2).append(f" {heat.legend}") for heat in HEAT_CLASSES]
    return Text("change of loss, nats a token:  ", "dim").append(Text("  ").join(items))


def draw_survey(survey: Survey) -> Table:
    """A table with a row for each layer."""
    columns = ("layer", "influence", "", "norm", "attention adds", "mlp adds", "lens loss", "agrees")
    most = max(layer.influence for layer in survey.layers[1:-1] or survey.layers)
    rows = [
        (
            str(layer.index),
            f"{layer.influence:.3f}",
            Text("█" * round(_BAR * min(max(layer.influence / most, 0), 1)) if most > 0 else "", MUTED),
            f"{layer.norm:.1f}",
            _percent(layer.attention),
            _percent(layer.mlp),
            f"{layer.lens_loss:.2f}",
            _percent(layer.lens_agreement),
        )
        for layer in survey.layers
    ]
    return make_table(columns, rows, right=columns[:1] + columns[3:])


def _percent(share: float | None) -> str:
    return "?" if share is None else f"{share:.0%}"


def draw_nearest(survey: Survey, longest: int) -> Table:
    """A table of the runs across which the state turns least, one for each length."""
    found = [(length, *survey.find_nearest(length)) for length in range(1, min(longest, survey.depth - 1) + 1)]
    rows = [(str(length), f"{start}:{start + length}", f"{distance:.3f}") for length, start, distance in found]
    return make_table(("run of", "layers", "angular distance"), rows, right=("run of", "angular distance"))


def draw_proposals(proposals: Sequence[Proposal]) -> Table:
    """A table of the best edits, with both intervals and the change on the passages that confirm them."""
    confirmed = any(proposal.confirmed for proposal in proposals)
    columns = (
        "edit",
        "change of loss",
        "as one of all tries",
        *(["on other passages"] if confirmed else []),
        "verdict",
    )
    rows = [
        (
            str(proposal.change.edit),
            change_text(proposal.change.alone),
            change_text(proposal.change.among),
            *([change_text(proposal.confirmed) if proposal.confirmed else ""] if confirmed else []),
            verdict_text(proposal),
        )
        for proposal in proposals
    ]
    return make_table(columns, rows)


_LIKENESS = ("behind", "follow with", "distance", "rotated", "CKA", "with its own")


def draw_likeness(likeness: Likeness) -> Table:
    """A table with a row for each layer of the first model: the layer of the second that may best follow it."""
    rows = [_likeness_row(likeness, state) for state in range(1, len(likeness.rotated))]
    return make_table(_LIKENESS, rows, right=_LIKENESS)


def _likeness_row(likeness: Likeness, state: int) -> tuple[str, ...]:
    """The row of a state of the first model; the last state of the second enters no layer."""
    distances = likeness.distances
    far = distances[state] if distances else [-each for each in likeness.rotated[state]]
    follow = min(range(len(far) - 1), key=far.__getitem__)
    return (
        str(state - 1),
        str(follow),
        f"{distances[state][follow]:.3f}" if distances else "widths differ",
        f"{likeness.rotated[state][follow]:.3f}",
        f"{likeness.cka[state][follow]:.3f}",
        f"{distances[state][state]:.3f}" if distances and state < len(far) - 1 else "",
    )


def draw_turns(junctions: Mapping[int, Junction], turns: Mapping[int, float]) -> Table:
    """A table with a row for each junction of a stack: how far the residual stream turns there, the farthest first."""
    rows = [
        (str(index), f"{_feed_text(junctions[index].before)} → {_feed_text(junctions[index].after)}", f"{turn:.3f}")
        for index, turn in sorted(turns.items(), key=lambda pair: -pair[1])
    ]
    return make_table(("before layer", "junction", "turn"), rows, right=("before layer", "turn"))


def _feed_text(feed: Feed) -> str:
    return f"{feed.donor}[{feed.layer}]"
