"""Ops as people and programs read them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stacker.ops.shared.op import Base, Op, OpParameter
from stacker.ops.shared.passes import readings_of

_KINDS: dict[type, str] = {float: "number", int: "whole number", bool: "true or false"}


def draw_ops(ops: Iterable[Op]) -> Table:
    """One row an op."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("op", "what it does", "sources", "parameters"):
        table.add_column(column, overflow="fold")
    for op in ops:
        table.add_row(op.name, op.summary, _arity(op), ", ".join(parameter.name for parameter in op.parameters))
    return table


def draw_op(op: Op) -> RenderableType:
    """One op in full: formula, where it is from, and each parameter."""
    said = (op.formula, op.source, f"sources: {_arity(op)}", _needs(op), *_ramp(op))
    head = Text.assemble((op.name, "bold"), f"  {op.summary}\n", *(f"\n  {line}" for line in said))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("parameter", "kind", "default", "range", "meaning"):
        table.add_column(column, overflow="fold")
    for each in op.parameters:
        default = "required" if each.default is None else str(each.default).lower()
        meaning = each.meaning + (" (of each source)" if each.per_source else "")
        table.add_row(each.name, _KINDS[each.kind], default, _range(each), meaning)
    return Group(head, Text(), table if op.parameters else Text("no parameters"))


def _arity(op: Op) -> str:
    fewest, most = op.arity
    count = f"{fewest}" if fewest == most else f"{fewest} or more" if most is None else f"{fewest} to {most}"
    return count + {Base.NONE: "", Base.OPTIONAL: ", base optional", Base.REQUIRED: " and a base"}[op.base]


def _needs(op: Op) -> str:
    """What it looks at, and how often."""
    fewest, most = readings_of(op)
    times = "once" if most == 1 else f"{fewest} times" if fewest == most else f"{fewest} to {most} times"
    return f"{'weights alone, no data' if op.data_free else 'needs data'}; reads them {times}"


def _ramp(op: Op) -> tuple[str, ...]:
    return (f"a crossfade drives its {op.ramp}",) if op.ramp else ()


def _range(parameter: OpParameter) -> str:
    low, high = parameter.low, parameter.high
    if low is None and high is None:
        return ""
    bounds = f"{low:g} to {high:g}" if low is not None and high is not None else ""
    bounds = bounds or (f"from {low:g}" if low is not None else f"to {high:g}")
    return f"{bounds}, or past it" if parameter.extrapolates else bounds


def op_json(op: Op) -> dict[str, Any]:
    """An op for programs."""
    return {
        "name": op.name,
        "summary": op.summary,
        "formula": op.formula,
        "source": op.source,
        "sources": list(op.arity),
        "base": str(op.base),
        "data_free": op.data_free,
        "readings": list(readings_of(op)),
        "ramp": op.ramp or None,
        "parameters": [
            {
                "name": each.name,
                "kind": each.kind.__name__,
                "default": each.default,
                "low": each.low,
                "high": each.high,
                "of_roles": dict(each.of_roles),
                "per_source": each.per_source,
                "meaning": each.meaning,
            }
            for each in op.parameters
        ],
    }
