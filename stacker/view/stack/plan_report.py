"""A plan as a table for the terminal: shards, what is computed, what is left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import PurePath
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stacker.core.plan.plan import Plan, Report
from stacker.core.values.expression import Blend, Cast, Columns, Concat, Copy, Expression, Rows, Scale
from stacker.view.scene.formatting import bytes_text, count_text, seconds_text


def draw_plan(plan: Plan) -> RenderableType:
    """What a build would write, in short; `--json` has every tensor."""
    return Group(_head(plan), Text(), _shards(plan), Text(), _unused(plan))


def _head(plan: Plan) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    kinds = Counter(verb(step.expression) for step in plan.steps)
    table.add_row("plan", plan.id)
    table.add_row("tensors", ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()))
    table.add_row("parameters", count_text(plan.total_parameters))
    table.add_row("to write", bytes_text(plan.costs.written))
    table.add_row("to read", bytes_text(plan.costs.read))
    table.add_row("memory", f"{bytes_text(plan.costs.peak)} at the peak, with two workers")
    return table


def verb(expression: Expression) -> str:
    """What happens to a tensor, in a word."""
    match expression:
        case Copy() | Columns():
            return "moved"
        case Scale():
            return "scaled"
        case Cast(of):
            return "cast" if isinstance(of, Copy) else verb(of)
        case Blend(op):
            return f"blended ({op})"
        case Rows():
            return "put in order"
        case Concat():
            return "put together"


def _shards(plan: Plan) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("shard", "tensors", "bytes"):
        table.add_column(column, justify="left" if column == "shard" else "right")
    counts = Counter(step.shard for step in plan.steps)
    for number, shard in enumerate(plan.shards):
        table.add_row(shard.name, str(counts[number]), f"{shard.size:,}")
    return table


def _unused(plan: Plan) -> RenderableType:
    if not plan.unused:
        return Text("every tensor of every donor is used", "dim")
    reasons = Counter((each.tensor.donor, each.reason) for each in plan.unused)
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    table.add_column("unused tensors", justify="right")
    table.add_column("of")
    table.add_column("because", overflow="fold")
    for (donor, reason), count in reasons.items():
        table.add_row(str(count), donor, reason)
    return table


def report_text(plan: Plan, report: Report, out: PurePath) -> Text:
    """Two lines: what is there now, and how its bytes came there."""
    kinds = {
        "cloned": report.cloned,
        "copied": report.copied,
        "left as holes": report.holes,
        "computed": report.computed,
    }
    how = ", ".join(f"{bytes_text(count)} {kind}" for kind, count in kinds.items() if count) or "nothing left to do"
    speed = f" ({bytes_text(sum(kinds.values()) / report.seconds)}/s)" if report.seconds > 0 else ""
    text = Text(f"{out}", "bold").append(f": {count_text(plan.total_parameters)} parameters, ", "none")
    text.append(f"{bytes_text(plan.total_size)} in {len(plan.shards)} shard{'s'[: len(plan.shards) > 1]}\n", "none")
    return text.append(f"  {how} in {seconds_text(report.seconds)}{speed}", "none")


def report_json(plan: Plan, report: Report, out: PurePath) -> dict[str, Any]:
    """The same for programs."""
    return {
        "ok": True,
        "out": str(out),
        "plan": plan.id,
        "parameters": plan.total_parameters,
        "bytes": plan.total_size,
        "shards": [shard.name for shard in plan.shards],
        **asdict(report),
    }
