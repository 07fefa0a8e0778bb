"""Makes the interactive HTML page of a map: the drawing, figures of the edit under the pointer, proposals and layers.

The page is one file and loads nothing from the network.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from xml.etree.ElementTree import tostring

from stacker.measure.probes.results import Change, DepthMap, Proposal, Survey
from stacker.view.files.page_filling import fill_page
from stacker.view.probes.map_svg import map_svg_element
from stacker.view.probes.words import chance_text, change_text, edit_text, verdict_text

_TEMPLATE = Path(__file__).with_name("map.html")


def map_page_text(found: DepthMap, proposals: Sequence[Proposal], survey: Survey) -> str:
    """The complete HTML document that shows a map."""
    data = json.dumps([*map(_describe, found.changes)], ensure_ascii=False, separators=(",", ":"))
    values = {
        "title": escape(found.name),
        "drawing": tostring(map_svg_element(found), encoding="unicode"),
        "chance": escape(chance_text(found.chance)) if found.chance else "",
        "proposals": "".join(map(_proposal_html, proposals)),
        "layers": "".join(_row_html(row) for row in _list_layers(survey)),
        "data": data.replace("<", "\\u003c"),
    }
    return fill_page(_TEMPLATE, values)


def _describe(change: Change) -> list[str]:
    return [edit_text(change), change_text(change.alone), change_text(change.among)]


def _proposal_html(proposal: Proposal) -> str:
    confirmed = f"; on other passages {change_text(proposal.confirmed)}" if proposal.confirmed else ""
    line = f"{proposal.change.edit}: {change_text(proposal.change.alone)}{confirmed}; {verdict_text(proposal)}"
    return f"<details><summary>{escape(line)}</summary><pre>{escape(proposal.spec)}</pre></details>"


def _list_layers(survey: Survey) -> list[list[str]]:
    return [
        [
            str(layer.index),
            f"{layer.influence:.3f}",
            f"{layer.norm:.1f}",
            *("?" if each is None else f"{each:.0%}" for each in (layer.attention, layer.mlp)),
            f"{layer.lens_loss:.2f}",
            f"{layer.lens_agreement:.0%}",
        ]
        for layer in survey.layers
    ]


def _row_html(cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
