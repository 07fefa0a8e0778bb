"""Lists the output tensors of each layer of a stack, with the expression that computes each tensor, as rows of text.

Tensors that differ only in the expert number, in a mixture-of-experts layer, share a row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from stacker.arch.files.architecture import Part
from stacker.core.plan.plan import Step
from stacker.core.stack.graph import walk_tables
from stacker.core.values.expression import (
    Blend,
    Cast,
    Columns,
    Concat,
    Copy,
    Decoded,
    Expression,
    LowRank,
    Rescale,
    Rows,
    Scale,
)
from stacker.view.scene.scene import Scene

_EXPERT = re.compile(r"(?<=\.)\d+(?=\.)")


@dataclass(frozen=True, slots=True)
class TensorRow:
    """One output tensor, or `count` output tensors of a layer that differ only in the expert number.

    `name` is the tensor name without the prefix of the layer, and `role` is the use of the tensor, such as `attn.q`.
    `made` is the expression that computes the tensor, as text.
    """

    name: str
    role: str
    dtype: str
    shape: tuple[int, ...]
    made: str
    count: int = 1


def trace_tensors(scene: Scene) -> dict[str, list[TensorRow]]:
    """List of rows that describe the output tensors, by `embed`, `head`, or the number of the output layer as text.

    All lists are empty if the scene has no plan.
    """
    steps = {step.tensor.name: step for step in scene.plan.steps} if scene.plan else {}
    found: dict[str, list[TensorRow]] = {}
    for node, named, tables in walk_tables(scene.graph, scene.donors):
        rows = (
            _row(steps[named(name)], name, tensor.role) for name, tensor in tables[0].items() if named(name) in steps
        )
        key = str(node.index) if node.part is Part.LAYER else str(node.part)
        found[key] = list(_joined(rows))
    return found


def _row(step: Step, name: str, role: str) -> TensorRow:
    return TensorRow(name, role, step.tensor.dtype.label, step.tensor.shape, expression_text(step.expression))


def _joined(rows: Iterator[TensorRow]) -> Iterator[TensorRow]:
    """Yield the rows, after merging rows that differ only in the expert number into one row with a count."""
    groups: dict[TensorRow, int] = {}
    for row in rows:
        if ".expert" in row.role:
            made = re.sub(r"(?<=experts\.)\d+(?=\.)", "*", row.made)
            row = TensorRow(_EXPERT.sub("*", row.name, count=1), row.role, row.dtype, row.shape, made)
        groups[row] = groups.get(row, 0) + 1
    for row, count in groups.items():
        yield TensorRow(row.name, row.role, row.dtype, row.shape, row.made, count)


def expression_text(expression: Expression) -> str:
    """An expression as text.

    A donor tensor is `xwin:model.layers.3.mlp.up_proj.weight`, and a blend is `slerp(a, b; t 0.3)`.
    """
    match expression:
        case Copy(tensor):
            return str(tensor)
        case Decoded(of, scheme):
            return f"{of[0].tensor} decoded from {scheme}"
        case Cast(of, dtype):
            return f"{expression_text(of)} as {dtype.label}"
        case Scale(of, factor, offset):
            of_text = expression_text(of)
            return f"{factor:g} × ({of_text} + {offset:g}) - {offset:g}" if offset else f"{factor:g} × {of_text}"
        case Blend():
            return f"{expression.op}({_sources(expression)}{_told(expression)})"
        case Columns(tensor, width, start, count):
            return f"{tensor}, {start}:{start + count} of {width}"
        case Concat(of):
            return f"side by side {'; '.join(map(expression_text, of))}"
        case Rows(of):
            return f"rows of {', '.join(map(expression_text, of))}"
        case LowRank() | Rescale():
            return _adapted_text(expression)


def _adapted_text(expression: LowRank | Rescale) -> str:
    of = expression_text(expression.of)
    if isinstance(expression, Rescale):
        return f"{of}, scaled to the lengths {expression.lengths.tensor}"
    return f"{of} + {expression.factor:.4g} × {expression.left.tensor} × {expression.right.tensor}"


def _sources(blend: Blend) -> str:
    own = blend.per_source or ((),) * len(blend.of)
    words = [
        expression_text(source) + "".join(f" {name} {_short(value)}" for name, value in values)
        for source, values in zip(blend.of, own, strict=True)
    ]
    return ", ".join([*words, f"base {expression_text(blend.base)}"] if blend.base else words)


def _told(blend: Blend) -> str:
    said = ", ".join(f"{name} {_short(value)}" for name, value in blend.parameters)
    return f"; {said}" if said else ""


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
