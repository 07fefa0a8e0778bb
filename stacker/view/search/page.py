"""Makes the HTML page of a search, in one file that loads nothing from the network, and its JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import tostring

from stacker.search.lineage import list_measured, mean_value
from stacker.search.results import Report
from stacker.view.search.search_svg import story_element
from stacker.view.search.words import (
    SearchStory,
    change_text,
    estimate_text,
    list_summary,
    luck_text,
    point_text,
    verdict_text,
)

BEST = 30
_TEMPLATE = Path(__file__).with_name("search.html")


def story_page(story: SearchStory) -> str:
    """The complete HTML document that shows a search."""
    values = {
        "title": escape(story.name),
        "drawing": tostring(story_element(story), encoding="unicode"),
        "summary": "".join(_list_summary(story.report)) if story.report else "<p>The search has not ended.</p>",
        "comparisons": _write_rows(_list_comparisons(story.report)) if story.report else "",
        "best": _write_rows(_list_best(story)),
    }
    # Split the template before the values are filled in: a value may contain "@@".
    pieces = _TEMPLATE.read_text(encoding="utf-8").split("@@")
    return "".join(values[piece] if number % 2 else piece for number, piece in enumerate(pieces))


def _list_summary(report: Report) -> Iterator[str]:
    yield f"<p>{escape(report.how)}: perplexity {math.exp(report.value):.3f} on {report.passages} passages.</p>"
    yield from (f"<p><strong>{escape(sentence)}</strong></p>" for sentence in list_summary(report))
    if report.luck:
        yield f"<p>{escape(luck_text(report.luck))}</p>"


def _list_comparisons(report: Report) -> Iterator[Sequence[str]]:
    for each in report.comparisons:
        yield each.name, f"{math.exp(each.value):.3f}", estimate_text(each.difference), verdict_text(each)


def _list_best(story: SearchStory) -> Iterator[Sequence[str]]:
    for group in list_measured(story.trials)[:BEST]:
        first = group[0]
        value = change_text(mean_value(group))
        yield str(first.number), value, f"{len(group)}×", first.proposal.how, point_text(first.point)


def _write_rows(rows: Iterable[Sequence[str]]) -> str:
    return "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)


def story_json(story: SearchStory) -> dict[str, Any]:
    """A search as a JSON value."""
    trials = [asdict(trial) for trial in story.trials]
    lineage = [trial.number for trial in story.lineage]
    choice = [{"name": each.name, "plan": each.plan, "loss": each.value} for each in story.choice]
    head = {"name": story.name, "objectives": [*story.objectives], "trials": trials, "lineage": lineage}
    return {**head, "front": [*story.front], "choice": choice, "report": story.report and _report_json(story.report)}


def _report_json(report: Report) -> dict[str, Any]:
    verdicts = {each.name: each.verdict for each in report.comparisons}
    found = asdict(report)
    for each in found["comparisons"]:
        each["verdict"] = verdicts[each["name"]]
    return found
