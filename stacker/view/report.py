"""What a build did, in words and for programs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import PurePath
from typing import Any

from rich.text import Text

from stacker.core.plan import Plan
from stacker.core.report import Report
from stacker.view.quantities import bytes_text, count_text, seconds_text


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
