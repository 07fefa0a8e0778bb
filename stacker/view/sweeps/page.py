"""Makes the HTML page of a sweep: the picture, what it says, and all points; it loads nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path

from stacker.search.sweeps.results import Sweep, Trial
from stacker.view.files.page_filling import fill_page
from stacker.view.sweeps.picture import sweep_svg_text
from stacker.view.sweeps.words import clean, difference_text, list_conclusions, name_trial

_TEMPLATE = Path(__file__).with_name("sweep.html")


def sweep_page_text(found: Sweep) -> str:
    """The complete HTML document."""
    values = {
        "title": escape(clean(found.name)),
        "drawing": sweep_svg_text(found),
        "conclusions": "".join(f"<p>{escape(line)}</p>" for line in list_conclusions(found)),
        "measure": escape(f"{found.measure.title} ({found.measure.unit})"),
        "rows": "".join(_row_html(trial, found) for trial in (found.own, *found.trials)),
    }
    return fill_page(_TEMPLATE, values)


def _row_html(trial: Trial, found: Sweep) -> str:
    kind = ' class="best"' if trial is found.winner else ""
    return f"<tr{kind}>" + "".join(f"<td>{escape(cell)}</td>" for cell in _list_cells(trial, found)) + "</tr>"


def _list_cells(trial: Trial, found: Sweep) -> Iterator[str]:
    yield name_trial(trial)
    if trial.figures is None:
        yield from ("", "failed", clean(trial.failure))
        return
    yield from (str(trial.layers), f"{trial.figures[found.measure]:.4f}", difference_text(trial.difference))
