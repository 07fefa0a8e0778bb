"""Draws a sweep in the terminal: a heat map, a curve or a plot of intervals, and the table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from stacker.search.sweeps.grid import Axis
from stacker.search.sweeps.results import Sweep, Trial
from stacker.spec.parameters.space import format_value
from stacker.view.scores.interval_plot import draw_intervals
from stacker.view.sweeps.curve import draw_curve, find_curve_axis
from stacker.view.sweeps.heat_scale import Shade, find_shade, make_shades
from stacker.view.sweeps.words import clean, difference_text, list_conclusions, name_trial, title_text

_MOST_ROWS = 40
"""Longer tables show only the best points."""


def draw_sweep(found: Sweep, width: int) -> Group:
    """Everything about a sweep, for a terminal of `width` columns."""
    axes = [axis for axis in found.axes if len(axis.values) > 1]
    curve = find_curve_axis(found)
    parts: list[RenderableType] = [Text(title_text(found))]
    if len(axes) == 2:
        parts.append(_draw_heat(found, axes[0], axes[1], width))
    elif curve is not None:
        parts.append(draw_curve(found, curve, width))
    elif len(found.trials) <= _MOST_ROWS:
        rows = [(name_trial(trial), trial.difference) for trial in found.trials if not trial.failure]
        parts += draw_intervals("difference", rows, width)
    parts += (_draw_table(found, width), Text("\n".join(list_conclusions(found))))
    return Group(*parts)


def _draw_heat(found: Sweep, down: Axis, across: Axis, width: int) -> RenderableType:
    """The differences by two parameters; each cell has a sign, so that it can be read without colours."""
    by_values = {(trial.point[down.name], trial.point[across.name]): trial for trial in found.trials}
    shades = make_shades(found)
    names = [clean(format_value(value)) for value in across.values]
    if 12 + sum(len(name) + 9 for name in names) > width:
        return Text("(the heat map is wider than the terminal: use --svg or --html)", "dim")
    table = Table(
        box=None, pad_edge=False, title=escape(clean(f"{down.name} down, {across.name} across")), title_justify="left"
    )
    table.add_column("", justify="right")
    for name in names:
        table.add_column(escape(name), justify="right")
    for value in down.values:
        cells = (_draw_cell(by_values.get((value, other)), found, shades) for other in across.values)
        table.add_row(Text(clean(format_value(value))), *cells)
    return table


def _draw_cell(trial: Trial | None, found: Sweep, shades: Sequence[Shade]) -> Text:
    if trial is None:
        return Text("")
    if trial.difference is None:
        return Text("failed", "dim")
    shade = find_shade(shades, trial.difference.value)
    star = "*" if trial is found.winner else ""
    return Text(f"{trial.difference.value:+.4f}{star}", f"{shade.ink} on {shade.colour}")


def _draw_table(found: Sweep, width: int) -> Table:
    """The points from the best to the worst, then those that failed."""
    table = Table(box=None, pad_edge=False)
    for heading in ("point", "layers", found.measure.title, "difference [95 %]"):
        table.add_column(heading, justify="left" if heading == "point" else "right", overflow="fold")
    rows = [found.own, *_rank(found)]
    for trial in rows[: _MOST_ROWS + 1]:
        table.add_row(*_list_cells(trial, found, width))
    if len(rows) > _MOST_ROWS + 1:
        table.add_row(f"… {len(rows) - _MOST_ROWS - 1} more", "", "", "")
    return table


def _rank(found: Sweep) -> list[Trial]:
    return sorted(found.trials, key=lambda trial: (trial.figures or {}).get(found.measure, float("inf")))


def _list_cells(trial: Trial, found: Sweep, width: int) -> Iterator[str | Text]:
    yield Text(name_trial(trial))
    if trial.figures is None:
        yield ""
        yield "failed"
        yield Text(clean(trial.failure) if width > 60 else clean(trial.failure)[:40], "dim")
        return
    yield str(trial.layers)
    yield f"{trial.figures[found.measure]:.4f}"
    yield difference_text(trial.difference)
