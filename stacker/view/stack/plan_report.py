"""Shows a plan before a build and a report after the build, as text for the terminal and as JSON."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import PurePath
from typing import Any

from rich import filesize
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stacker.core.plan.plan import Plan, Report
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
from stacker.view.scene.tabular import count_text, make_pairs, make_table, seconds_text


def draw_plan(plan: Plan) -> RenderableType:
    """A summary of the plan, a table of its shards, and a table of the donor tensors that the stack does not use."""
    return Group(_draw_head(plan), Text(), _draw_shards(plan), Text(), _draw_unused(plan))


def _draw_head(plan: Plan) -> Table:
    kinds = Counter(verb(step.expression) for step in plan.steps)
    pairs = {
        "plan": plan.id,
        "tensors": ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()),
        "parameters": count_text(plan.total_parameters),
        "to write": filesize.decimal(plan.costs.written),
        "to read": filesize.decimal(plan.costs.read),
        "memory": f"{filesize.decimal(plan.costs.peak)} at the peak, with two workers",
    }
    return make_pairs(pairs)


def verb(expression: Expression) -> str:
    """What a build does to make a tensor, as a past participle: `moved`, `scaled`, `blended (slerp)`."""
    match expression:
        case Copy() | Columns():
            return "moved"
        case Decoded():
            return "dequantised"
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
        case LowRank() | Rescale():
            return "adapted"


def _draw_shards(plan: Plan) -> Table:
    counts = Counter(step.shard for step in plan.steps)
    rows = [(shard.name, str(counts[number]), f"{shard.size:,}") for number, shard in enumerate(plan.shards)]
    return make_table(("shard", "tensors", "bytes"), rows, right=("tensors", "bytes"))


def _draw_unused(plan: Plan) -> RenderableType:
    if not plan.unused:
        return Text("every tensor of every donor is used", "dim")
    reasons = Counter((each.tensor.donor, each.reason) for each in plan.unused)
    rows = [(str(count), donor, reason) for (donor, reason), count in sorted(reasons.items(), key=_count_numbers)]
    return make_table(("unused tensors", "of", "because"), rows, right=("unused tensors",))


def _count_numbers(row: tuple[tuple[str, str], int]) -> tuple[str, list[tuple[int, str]]]:
    """A key that sorts rows by donor and reason, with layer 3 before layer 24."""
    (donor, reason), _ = row
    return donor, [(int(word), "") if word.isdigit() else (-1, word) for word in reason.split()]


def report_text(plan: Plan, report: Report, out: str | PurePath) -> Text:
    """Two lines about a finished build: the size of the checkpoint at `out`, and how its bytes were written.

    The second line counts the bytes that were cloned, copied, left as holes and computed, those that an interrupted
    build had written before, and tells the time and speed.
    """
    kinds = {
        "cloned": report.cloned,
        "copied": report.copied,
        "left as holes": report.holes,
        "computed": report.computed,
    }
    ways = ", ".join(f"{filesize.decimal(count)} {kind}" for kind, count in kinds.items() if count)
    speed = f" ({filesize.decimal(int(sum(kinds.values()) / report.seconds))}/s)" if report.seconds > 0 else ""
    before = f"; {filesize.decimal(report.kept)} were there from the interrupted build" if report.kept else ""
    size = f"{filesize.decimal(plan.total_size)} in {len(plan.shards)} shard{'s'[: len(plan.shards) > 1]}"
    return Text.assemble(
        (f"{out}", "bold"),
        f": {count_text(plan.total_parameters)} parameters, {size}\n",
        f"  {ways or 'nothing left to do'} in {seconds_text(report.seconds)}{speed}{before}",
    )


def report_json(plan: Plan, report: Report, out: str | PurePath) -> dict[str, Any]:
    """The report of a build as a JSON value, with sizes in bytes."""
    return {
        "ok": True,
        "out": str(out),
        "plan": plan.id,
        "parameters": plan.total_parameters,
        "bytes": plan.total_size,
        "shards": [shard.name for shard in plan.shards],
        **asdict(report),
    }
