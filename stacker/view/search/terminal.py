"""Draws a search for the terminal: progress, the best candidates, the lineage, and the final comparison."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stacker.search.lineage import list_improvements, list_measured, mean_value
from stacker.search.results import Report, Trial
from stacker.view.scores.interval_plot import draw_intervals
from stacker.view.search.words import (
    SearchStory,
    change_text,
    estimate_text,
    list_summary,
    luck_text,
    point_text,
    verdict_text,
)

BEST = 8
ROWS = 9
_COLOURS = {"better": "green", "worse": "red", "no difference": "yellow"}


def draw_story(story: SearchStory, width: int) -> Group:
    """A search for a terminal of `width` columns."""
    parts: list[RenderableType] = [Text(_title(story), "bold"), draw_curve(story.trials, width)]
    parts += [Text("\nThe best candidates on their search passages", "bold"), _draw_best(story)]
    if len(story.lineage) > 1:
        parts += [Text("\nHow the winner came about", "bold"), *map(_lineage_line, story.lineage)]
    if story.choice:
        parts += [Text("\nFinalists on the choice part", "bold"), _draw_choice(story)]
    if story.report:
        parts += _list_report(story.report, width)
    return Group(*parts)


def _title(story: SearchStory) -> str:
    failed = sum(trial.values is None for trial in story.trials)
    seconds = sum(trial.seconds for trial in story.trials)
    text = f"{story.name}: {len(story.trials)} candidates in {seconds / 60:.1f} min"
    return text + (f", {failed} could not be measured" if failed else "")


def draw_curve(trials: Sequence[Trial], width: int) -> Text:
    """The values of all trials in their order, and the best so far, as a plot of characters.

    Values far above the others are drawn at the top.
    """
    values = [trial.values[0] if trial.values else math.nan for trial in trials]
    known = sorted(value for value in values if math.isfinite(value))
    if not known:
        return Text("nothing was measured yet", "dim")
    low, high = known[0], known[min(len(known) - 1, int(0.75 * len(known)))]
    high = high if high > low else low + 1e-9
    across = max(10, min(width, 100) - 10)
    grid = [[" "] * across for _ in range(ROWS)]
    best = math.inf
    for at, value in enumerate(values):
        column = at * across // len(values)
        best = min(best, value) if math.isfinite(value) else best
        if math.isfinite(value):
            grid[_row(value, low, high)][column] = "·"
        if math.isfinite(best):
            grid[_row(best, low, high)][column] = "━"
    labels = {0: change_text(high), ROWS - 1: change_text(low)}
    lines = [f"{labels.get(row, ''):>8}  {''.join(cells).rstrip()}" for row, cells in enumerate(grid)]
    return Text("\n".join(lines))


def _row(value: float, low: float, high: float) -> int:
    return max(0, min(ROWS - 1, round((high - value) / (high - low) * (ROWS - 1))))


def _draw_best(story: SearchStory) -> Table:
    table = Table("trial", "value", "measured", "how", "point", box=None, pad_edge=False, header_style="dim")
    for group in list_measured(story.trials)[:BEST]:
        first = group[0]
        value = change_text(mean_value(group))
        table.add_row(str(first.number), value, f"{len(group)}×", first.proposal.how, point_text(first.point))
    return table


def _lineage_line(trial: Trial) -> Text:
    value = change_text(trial.values[0]) if trial.values else "not measured"
    return Text(f"{trial.number:>5}  {value}  {trial.proposal.how}: {point_text(trial.point)}")


def _draw_choice(story: SearchStory) -> Table:
    table = Table("perplexity", "finalist", box=None, pad_edge=False, header_style="dim")
    for each in sorted(story.choice, key=lambda losses: losses.value):
        table.add_row(f"{math.exp(each.value):.3f}", each.name)
    return table


def _list_report(report: Report, width: int) -> Iterator[RenderableType]:
    passages = f"{report.passages} passages that had no part in the search"
    yield Text(f"\nThe winner ({report.how}) on {passages}", "bold")
    texts = ", ".join(f"{name} {value:.3f}" for name, value in report.perplexities)
    yield Text(f"perplexity {math.exp(report.value):.3f} (geometric mean); {texts}")
    table = Table(
        "against", "perplexity", "change of loss, nats a token", "", box=None, pad_edge=False, header_style="dim"
    )
    for each in report.comparisons:
        colour = _COLOURS[each.verdict]
        row = (each.name, f"{math.exp(each.value):.3f}", estimate_text(each.difference))
        table.add_row(*row, Text(verdict_text(each), colour))
    yield table
    rows = [(each.name, each.difference) for each in report.comparisons]
    yield from draw_intervals("winner minus the other, nats a token", rows, width)
    yield from (Text(sentence, "bold") for sentence in list_summary(report))
    if report.luck:
        yield Text(luck_text(report.luck), "dim")


def progress_text(trials: Sequence[Trial]) -> str:
    """One line about the newest trial."""
    trial, best = trials[-1], list_improvements(trials)
    value = change_text(trial.values[0]) if trial.values else f"failed: {trial.measured.problem}"
    lowest = f", best {change_text(best[-1].values[0])}" if best and best[-1].values else ""
    return f"{trial.number + 1} {trial.phase}.{trial.generation} {trial.proposal.how}: {value}{lowest}"
