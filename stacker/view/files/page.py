"""Makes interactive HTML pages of one stack or of two: drawings, and details of the layer under the mouse pointer.

A page is one file and loads nothing from the network.
"""

from __future__ import annotations

import json
from collections.abc import Collection
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
from stacker.view.stack.comparison import find_changed_runs, list_changes, pair_facts
from stacker.view.stack.summary import format_facts

_PAGE, _STACK = (Path(__file__).with_name(f"{name}.html") for name in ("page", "stack"))
_FRAME_HEIGHT = 900
"""Height in pixels of the frame that shows the page in a notebook."""
_SHADED = "Shaded columns: layers that the other stack does not have in this place."


def html_text(scene: Scene) -> str:
    """The complete HTML document that shows a stack."""
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in format_facts(scene).items())
    body = f"{_stack_html(scene)}<dl>{facts}</dl>"
    return fill_page(_PAGE, {"title": escape(scene.name), "body": body})


def comparison_html_text(left: Scene, right: Scene) -> str:
    """The complete HTML document that shows two stacks, and above them what differs."""
    runs = [*find_changed_runs(left, right)]
    title = f"{left.name} and {right.name}"
    stacks = [
        _stack_html(scene, {layer for pair in runs for layer in range(*pair[place])})
        for place, scene in enumerate((left, right))
    ]
    body = f"<h1>{escape(title)}</h1>{_figures_html(left, right)}{_changes_html(left, right)}{''.join(stacks)}"
    return fill_page(_PAGE, {"title": escape(title), "body": body})


def _stack_html(scene: Scene, differing: Collection[int] = ()) -> str:
    """The section of a page that shows a stack, with the output layers `differing` shaded in its drawing."""
    signs = [*explain_signs(scene), *([_SHADED] if differing else [])]
    values = {
        "signs": "".join(f"<li>{escape(sentence)}</li>" for sentence in signs),
        "segments": "".join(map(_row_html, list_segments(scene))),
        "lints": "".join(map(_lint_html, scene.lints)),
        "drawing": tostring(svg_element(scene, hover=True, shaded=differing), encoding="unicode"),
        "data": json.dumps(_list_layers(scene), ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"),
    }
    return fill_page(_STACK, values)


def _figures_html(left: Scene, right: Scene) -> str:
    """A table of the facts about two stacks; those of the second that differ are bold."""
    rows = [
        f"<tr><td>{escape(name)}</td><td>{escape(one)}</td><td>"
        + (f"<b>{escape(other)}</b></td></tr>" if one != other else "the same</td></tr>")
        for name, one, other in pair_facts(left, right)
    ]
    heads = "".join(f"<th>{escape(text)}</th>" for text in ("", left.name, right.name))
    return f'<div class="wide"><table class="facts"><tr>{heads}</tr>{"".join(rows)}</table></div>'


def _changes_html(left: Scene, right: Scene) -> str:
    """A table of the ranges of layers that differ, or a line that says that none does."""
    rows = [*list_changes(left, right)]
    if not rows:
        return "<p>The layers are the same.</p>"
    heads = ("layers", f"only in {left.name}", "layers", f"only in {right.name}")
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    return f'<div class="wide"><table class="changes"><tr>{head}</tr>{"".join(map(_row_html, rows))}</table></div>'


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
