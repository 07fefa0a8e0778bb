"""Makes the interactive HTML page of a stack: its drawing, and details of the output layer under the mouse pointer.

The page is one file and loads nothing from the network.
"""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import tostring

from stacker.core.stack.nodes import Node
from stacker.errors import Problem
from stacker.view.files.page_filling import fill_page
from stacker.view.files.svg import svg_element
from stacker.view.files.svg_notes import Row, explain_signs, list_segments
from stacker.view.scene.formatting import node_method_text, node_source_text
from stacker.view.scene.jumps import explain_jump
from stacker.view.scene.provenance import TensorRow, trace_tensors
from stacker.view.scene.scene import Scene
from stacker.view.stack.summary import format_facts

_TEMPLATE = Path(__file__).with_name("page.html")
_FRAME_HEIGHT = 900
"""Height in pixels of the frame that shows the page in a notebook."""


def html_text(scene: Scene) -> str:
    """The complete HTML document that shows a stack."""
    facts_rows = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in format_facts(scene).items()
    )
    values = {
        "title": escape(scene.name),
        "facts": facts_rows,
        "signs": "".join(f"<li>{escape(sentence)}</li>" for sentence in explain_signs(scene)),
        "segments": "".join(map(_row_html, list_segments(scene))),
        "lints": "".join(map(_lint_html, scene.lints)),
        "drawing": tostring(svg_element(scene, hover=True), encoding="unicode"),
        "data": json.dumps(_list_layers(scene), ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"),
    }
    return fill_page(_TEMPLATE, values)


def html_frame_text(scene: Scene) -> str:
    """An `<iframe>` element with the HTML document that `html_text` makes.

    The iframe keeps the styles and scripts of the document apart from those of the notebook around it.
    """
    attributes = f'sandbox="allow-scripts" style="width:100%;height:{_FRAME_HEIGHT}px;border:0"'
    return f'<iframe {attributes} srcdoc="{escape(html_text(scene))}"></iframe>'


def _row_html(row: Row) -> str:
    return "<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>"


def _lint_html(problem: Problem) -> str:
    return f'<li class="{problem.severity}">{escape(problem.message)}<small>{escape(problem.hint)}</small></li>'


def _list_layers(scene: Scene) -> dict[str, Any]:
    """Data for the page's script, for each layer: its donor layers, how it is made, the jump before it, its tensors.

    The keys are `embed`, `head`, and the number of each output layer as text.
    """
    rows = trace_tensors(scene)
    nodes = {str(node.index): node for node in scene.graph.layers}
    ends = {"embed": scene.graph.embed, "head": scene.graph.head}
    return {
        key: _layer_json(node, explain_jump(scene, node.index) if key in nodes else "", rows.get(key, []))
        for key, node in (nodes | ends).items()
    }


def _layer_json(node: Node, jump: str, rows: list[TensorRow]) -> dict[str, Any]:
    return {
        "from": node_source_text(node),
        "made": node_method_text(node),
        "jump": jump,
        "tensors": [[row.name, row.count, row.role, row.dtype, list(row.shape), row.made] for row in rows],
    }
