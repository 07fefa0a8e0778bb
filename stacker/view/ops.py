"""Ops as people and programs read them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stacker.ops.model import Base, Op, OpParameter


def ops_table(ops: Iterable[Op]) -> Table:
    """One row an op."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("op", "what it does", "sources", "parameters"):
        table.add_column(column, overflow="fold")
    for op in ops:
        table.add_row(op.name, op.summary, _arity(op), ", ".join(parameter.name for parameter in op.parameters))
    return table


def op_details(op: Op) -> RenderableType:
    """One op in full: formula, where it is from, and each parameter."""
    head = Text.assemble((op.name, "bold"), f"  {op.summary}\n\n  {op.formula}\n  {op.source}\n  {_arity(op)}")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("parameter", "kind", "default", "range", "meaning"):
        table.add_column(column, overflow="fold")
    for each in op.parameters:
        default = "required" if each.default is None else str(each.default).lower()
        meaning = each.meaning + (" (of each source)" if each.per_source else "")
        table.add_row(each.name, each.kind.__name__, default, _range(each), meaning)
    return Group(head, Text(), table)


def _arity(op: Op) -> str:
    fewest, most = op.arity
    count = f"{fewest}" if fewest == most else f"{fewest} or more" if most is None else f"{fewest} to {most}"
    return count + {Base.NONE: "", Base.OPTIONAL: ", base optional", Base.REQUIRED: " and a base"}[op.base]


def _range(parameter: OpParameter) -> str:
    low, high = parameter.low, parameter.high
    if low is None and high is None:
        return ""
    return f"{'' if low is None else f'{low:g}'}…{'' if high is None else f'{high:g}'}"


def op_json(op: Op) -> dict[str, Any]:
    """An op for programs."""
    return {
        "name": op.name,
        "summary": op.summary,
        "formula": op.formula,
        "source": op.source,
        "sources": list(op.arity),
        "base": str(op.base),
        "parameters": [
            {
                "name": each.name,
                "kind": each.kind.__name__,
                "default": each.default,
                "low": each.low,
                "high": each.high,
                "per_source": each.per_source,
                "meaning": each.meaning,
            }
            for each in op.parameters
        ],
    }
