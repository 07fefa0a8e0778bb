"""Writes below a drawing of a stack what the pictures mean, its segments, and its weak points, as rows of text."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element

from stacker.core.stack.graph import count_uses, find_segments
from stacker.core.stack.nodes import Node
from stacker.core.values.parameters import find_factor
from stacker.view.files.svg_elements import add_text
from stacker.view.scene.formatting import (
    changes_text,
    method_text,
    node_method_text,
    node_source_text,
    source_text,
    span_text,
)
from stacker.view.scene.jumps import SEVERITY_SOURCE, explain_jump, severity_text
from stacker.view.scene.scene import Scene

ROW = 17
"""Height of a row in pixels."""
_LEFT, _COLUMNS = 44, (78, 96, 270, 250)
"""The left edge of the first column, and the widths of the columns before the last, in pixels."""
_CHARACTERS = (8, 14, 43, 38, 40)
"""About how many characters fit into each column of the segments."""
_MOST = 40
"""How many segments and how many weak points are written."""
Row = tuple[str, ...]
HEADS: Row = ("layers", "jump", "from", "made by", "across the jump")


def list_notes(scene: Scene) -> list[Row]:
    """The rows below a drawing: a row of one text is a line of its own, other rows have a text for each column."""
    segments = [*list_segments(scene)]
    lints = [f"{problem.severity}: {problem.message}" for problem in scene.lints]
    rows: list[Row] = [(text,) for text in explain_signs(scene)]
    rows += [("",), HEADS, *_cut(segments, "segments")]
    return rows + ([("",), *_cut([(text,) for text in lints], "warnings and notes")] if lints else [])


def draw_notes(root: Element, rows: list[Row], top: float) -> None:
    """Add the rows of `list_notes` to a drawing; the first row is at `top`, in pixels."""
    for number, row in enumerate(rows):
        y, x = top + ROW * (number + 1), _LEFT
        for column, text in enumerate(row):
            most = 150 if len(row) == 1 else _CHARACTERS[column]
            add_text(root, x, y, text if len(text) <= most else text[: most - 1] + "…", "faint" if row is HEADS else "")
            x += _COLUMNS[column] if column < len(_COLUMNS) else 0


def explain_signs(scene: Scene) -> Iterator[str]:
    """Yield a sentence for each sign in the drawing of a stack that needs one: blends, repeated and damped layers."""
    layers = scene.graph.layers
    if any(len(node.feeds) > 1 for node in layers):
        yield "Blocks of two colours or more in one column: a blend of these donor layers."
    if any(count > 1 for uses in count_uses(scene.graph, scene.donors).values() for count in uses):
        yield "Lighter blocks: donor layers that the stack has used before."
    if any(map(is_damped, layers)):
        yield "Outlined blocks: copies whose output is multiplied by a factor."
    if scene.jumps:
        yield "Dashed lines: jumps, where two layers meet that were not neighbours in one donor; below, layers skipped."
        yield f"{SEVERITY_SOURCE[0].upper()}{SEVERITY_SOURCE[1:]}."


def is_damped(node: Node) -> bool:
    """Whether a repeat multiplies what the layer's attention or feed-forward part writes by a factor."""
    return any(find_factor(node.scales, role, "") != 1.0 for role in ("attn.o", "mlp.down"))


def explain_layer(scene: Scene, node: Node) -> str:
    """What a layer is made from and how, and the jump before it: `layer 16: euryale[8]; jump -8: xwin to euryale`."""
    explained = explain_jump(scene, node.index)
    jump = f"jump {explained}" if explained else ""
    return f"layer {node.index}: " + "; ".join(filter(None, (node_source_text(node), node_method_text(node), jump)))


def list_segments(scene: Scene) -> Iterator[Row]:
    """Yield a row for each segment of a stack, with the columns HEADS."""
    for segment in find_segments(scene.graph):
        junction = scene.jumps.get(segment.start)
        yield (
            span_text(segment.start, segment.stop),
            f"{junction.jump:+d} {severity_text(scene, segment.start)}" if junction else "",
            source_text(segment),
            method_text(scene.graph, segment),
            changes_text(scene.changes.get(segment.start, ())),
        )


def _cut(rows: list[Row], what: str) -> list[Row]:
    more = [(f"… and {len(rows) - _MOST} more {what}",)] if len(rows) > _MOST else []
    return rows[:_MOST] + more
