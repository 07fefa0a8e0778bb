"""Shows blend ops as tables for the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stacker.ops.shared.op import Base, Op, OpParameter
from stacker.view.scene.tabular import make_table

_KINDS: dict[type, str] = {float: "number", int: "whole number", bool: "true or false"}


def draw_ops(ops: Iterable[Op]) -> Table:
    """A table with one row for each op, without its parameters."""
    return make_table(("op", "sources", "what it does"), [(op.name, _sources_text(op), op.summary) for op in ops])


def draw_op(op: Op) -> RenderableType:
    """One op in full: summary, formula, source, requirements and a table of its parameters."""
    lines = (op.formula, op.source, f"sources: {_sources_text(op)}", _requirements_text(op), *_ramp_lines(op))
    head = Text.assemble((op.name, "bold"), f"  {op.summary}\n", *(f"\n  {line}" for line in lines))
    columns = ("parameter", "kind", "default", "range", "meaning")
    table = make_table(columns, [_parameter_row(parameter) for parameter in op.parameters])
    return Group(head, Text(), table if op.parameters else Text("no parameters"))


def _parameter_row(parameter: OpParameter) -> tuple[str, ...]:
    default = "required" if parameter.default is None else str(parameter.default).lower()
    meaning = parameter.meaning + (" (one value per source)" if parameter.per_source else "")
    return parameter.name, _KINDS[parameter.kind], default, _range_text(parameter), meaning


def _sources_text(op: Op) -> str:
    fewest, most = op.arity
    count = f"{fewest}" if fewest == most else f"{fewest} or more" if most is None else f"{fewest} to {most}"
    return count + {Base.NONE: "", Base.OPTIONAL: ", base optional", Base.REQUIRED: " and a base"}[op.base]


def _requirements_text(op: Op) -> str:
    """Text that tells whether the op needs data besides the weights, and how many times it reads the weights."""
    fewest, most = (1 + passes for passes in op.passes)
    times = "once" if most == 1 else f"{fewest} times" if fewest == most else f"{fewest} to {most} times"
    return f"{'weights alone, no data' if op.data_free else 'needs data'}; reads them {times}"


def _ramp_lines(op: Op) -> tuple[str, ...]:
    return (f"a crossfade drives its {op.ramp}",) if op.ramp else ()


def _range_text(parameter: OpParameter) -> str:
    low, high = parameter.low, parameter.high
    if low is None and high is None:
        return ""
    bounds = f"{low:g} to {high:g}" if low is not None and high is not None else ""
    bounds = bounds or (f"from {low:g}" if low is not None else f"to {high:g}")
    return f"{bounds}, or past it" if parameter.extrapolates else bounds


def op_json(op: Op) -> dict[str, Any]:
    """An op as a JSON value."""
    return {
        "name": op.name,
        "summary": op.summary,
        "formula": op.formula,
        "source": op.source,
        "sources": list(op.arity),
        "base": str(op.base),
        "data_free": op.data_free,
        "readings": [1 + passes for passes in op.passes],
        "ramp": op.ramp or None,
        "parameters": [
            {
                "name": parameter.name,
                "kind": parameter.kind.__name__,
                "default": parameter.default,
                "low": parameter.low,
                "high": parameter.high,
                "of_roles": dict(parameter.role_defaults),
                "per_source": parameter.per_source,
                "meaning": parameter.meaning,
            }
            for parameter in op.parameters
        ],
    }
