"""Shows an evaluation in the terminal: a table for each subject, with a plot of the differences to the first model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from stacker.measure.results import (
    ACCURACY,
    BITS,
    KL,
    LOSS,
    OBEDIENCE,
    PERPLEXITY,
    REPETITION,
    SURPRISE,
    TOP1,
    Better,
    Column,
    Estimate,
    Evaluation,
    Figure,
    Measure,
)
from stacker.view.scene.tabular import to_texts
from stacker.view.scores.interval_plot import draw_intervals

SHOWN: tuple[Measure, ...] = (PERPLEXITY, LOSS, BITS, KL, TOP1, ACCURACY, SURPRISE, REPETITION, OBEDIENCE)
PLOTTED = (LOSS, BITS, ACCURACY, REPETITION, OBEDIENCE)
"""Measures whose differences are drawn: of a subject, the first of these that has one."""
_HEADS = {KL: "KL"}
"""What stands above a column instead of the measure's title, so that a table of texts fits into 80 columns."""
_NAME = 16
"""The characters of a name that tables show."""
_SHARES = "share"
_GOOD, _BAD, _UNSURE = "green", "red", "yellow"


def draw_evaluation(evaluation: Evaluation, width: int = 100) -> Group:
    """An evaluation for a terminal of `width` columns."""
    parts: list[RenderableType] = []
    for subject in list_subjects(evaluation):
        parts += [Text(_title(evaluation, subject), "bold"), _draw_table(evaluation, subject)]
        parts += [Padding(each, (0, 0, 1, 0)) for each in draw_intervals(*find_plotted(evaluation, subject), width)]
        parts += [Text(line) for line in list_verdicts(evaluation, subject)]
        parts.append(Text(""))
    parts += [Text(f"note: {note}", "yellow") for note in evaluation.notes]
    return Group(*parts, Text(_settings_text(evaluation), "dim"))


def list_subjects(evaluation: Evaluation) -> list[str]:
    """What the models were asked about, in order."""
    return list(dict.fromkeys(figure.subject for column in evaluation.columns for figure in column.figures))


def find_figures(column: Column, subject: str) -> dict[Measure, Figure]:
    """The figures of a column about a subject, by measure."""
    return {figure.measure: figure for figure in column.figures if figure.subject == subject}


def find_plotted(evaluation: Evaluation, subject: str) -> tuple[str, list[tuple[str, Estimate | None]]]:
    """The title of the measure whose differences are drawn, and the difference of each model by name.

    There are no models if no measure has a difference for every one but the first.
    """
    tables = [find_figures(column, subject) for column in evaluation.columns]
    for measure in PLOTTED:
        found = [table[measure].difference for table in tables[1:] if measure in table]
        if found and len(found) == len(tables) - 1 and all(found):
            names = [shorten_name(column.name) for column in evaluation.columns]
            return f"{measure.title}, difference to {names[0]}", list(zip(names, [None, *found], strict=True))
    return "", []


def _title(evaluation: Evaluation, subject: str) -> str:
    figures = [figure for column in evaluation.columns for figure in find_figures(column, subject).values()]
    counts = [figure.difference.items for figure in figures if figure.difference]
    unit = next((f"{max(counts)} {figure.measure.items}" for figure in figures if counts), "")
    return subject + (f": {unit}" if unit else "")


def _draw_table(evaluation: Evaluation, subject: str) -> RenderableType:
    tables = [find_figures(column, subject) for column in evaluation.columns]
    measures = [measure for measure in SHOWN if any(measure in table for table in tables)]
    if all(LOSS in table for table in tables) and all(table[LOSS].difference for table in tables[1:]):
        measures = [measure for measure in measures if measure is not BITS]
    heads = ["", *(head for measure in measures for head in _heads(measure, several=len(tables) > 1))]
    rows: list[list[str | Text]] = []
    for column, table in zip(evaluation.columns, tables, strict=True):
        cells = [cell for measure in measures for cell in _cells(table.get(measure), measure, several=len(tables) > 1)]
        rows.append([column.name, *cells])
    return _make_table(heads, rows)


def _make_table(heads: list[str], rows: list[list[str | Text]]) -> Table:
    """A table whose first column is cut, in the middle of names, rather than wrapped."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in heads:
        table.add_column(Text(head.replace(" ", "\n")), justify="right" if head else "left", no_wrap=True)
    for name, *cells in rows:
        table.add_row(*to_texts([shorten_name(str(name), _NAME), *cells]))
    return table


def shorten_name(name: str, most: int = 20) -> str:
    """A name in at most `most` characters: of a longer one, the beginning and the end."""
    half = (most - 1) // 2
    return name if len(name) <= most else f"{name[:half]}…{name[-(most - half - 1) :]}"


def _heads(measure: Measure, *, several: bool) -> list[str]:
    head = _HEADS.get(measure, measure.title)
    return [head, "difference [95%]"] if several and _differs(measure) else [head]


def _differs(measure: Measure) -> bool:
    return measure not in (PERPLEXITY, KL, TOP1, SURPRISE)


def _cells(figure: Figure | None, measure: Measure, *, several: bool) -> list[str | Text]:
    value = Text(value_text(figure.value, measure)) if figure else Text("–", "dim")
    if not several or not _differs(measure):
        return [value]
    return [value, difference_text(figure.difference, measure) if figure and figure.difference else Text("")]


def value_text(value: float, measure: Measure) -> str:
    """The value of a measure as text; shares are percentages."""
    if measure.unit == _SHARES:
        return f"{value:.1%}"
    return f"{value:.4g}" if value >= 1000 else f"{value:.2f}" if measure is PERPLEXITY else f"{value:.4f}"


def difference_text(difference: Estimate, measure: Measure) -> Text:
    """A difference with its interval, coloured by whether it is an improvement, a loss, or neither for sure."""
    bounds = (difference.value, difference.low, difference.high)
    value, low, high = ("" if each is None else _signed(each, measure) for each in bounds)
    return Text(f"{value} [{low}, {high}]" if low else value, choose_colour(difference, measure))


def _signed(value: float, measure: Measure) -> str:
    return f"{value * 100:+.1f}" if measure.unit == _SHARES else f"{value:+.4f}" if value else "0"


def choose_colour(difference: Estimate, measure: Measure) -> str:
    """Green for a model that is better than the first for sure, red for one that is worse, yellow for the others."""
    if not difference.excludes_zero:
        return _UNSURE
    return _GOOD if (difference.value > 0) is (measure.better is Better.HIGHER) else _BAD


def list_verdicts(evaluation: Evaluation, subject: str) -> Iterator[str]:
    """For each model but the first, a sentence that says what the interval allows to say."""
    first = evaluation.columns[0].name
    for column in evaluation.columns[1:]:
        for measure, figure in find_figures(column, subject).items():
            if figure.difference and measure.paired and measure not in (BITS, SURPRISE):
                yield f"{column.name}: {_verdict(figure.difference, measure, first)}"


def _verdict(difference: Estimate, measure: Measure, first: str) -> str:
    if difference.low == difference.high == 0:
        return f"{measure.title} exactly as {first}"
    if difference.excludes_zero is None:
        return f"{measure.title}: {difference.items} {measure.items} are too few for an interval"
    if difference.excludes_zero:
        better = (difference.value > 0) is (measure.better is Better.HIGHER)
        return f"{measure.title} {'better' if better else 'worse'} than {first}; the interval excludes 0"
    needed = f"; about {difference.needed:,} {measure.items} would tell" if difference.needed else ""
    return f"{measure.title} not known to differ from {first}, the interval includes 0{needed}"


def _settings_text(evaluation: Evaluation) -> str:
    known = f"{evaluation.cached} results known before" if evaluation.cached else ""
    return ", ".join([*(f"{name} {value}" for name, value in evaluation.settings.items()), *([known] if known else [])])


def evaluation_json(evaluation: Evaluation) -> dict[str, Any]:
    """An evaluation as a JSON value."""
    return {
        "columns": [
            {
                "name": column.name,
                "plan": column.plan,
                "layers": column.layers,
                "figures": [*map(_figure_json, column.figures)],
            }
            for column in evaluation.columns
        ],
        "settings": dict(evaluation.settings),
        "notes": [*evaluation.notes],
        "cached": evaluation.cached,
    }


def _figure_json(figure: Figure) -> dict[str, Any]:
    measure = figure.measure
    found = {"measure": measure.name, "subject": figure.subject, "unit": measure.unit, "value": figure.value}
    return found | {"interval" if not measure.paired else "difference": estimate_json(figure.difference, measure.items)}


def estimate_json(estimate: Estimate | None, items: str) -> dict[str, Any] | None:
    """An estimate as a JSON value; `items` names what its interval is taken over."""
    if estimate is None:
        return None
    bounds = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
    return bounds | {"excludes_zero": estimate.excludes_zero, items: estimate.items, f"{items}_needed": estimate.needed}
