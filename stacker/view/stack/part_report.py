"""What the command line says about a part of a build that was written."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import PurePath
from typing import Any

from rich import filesize

from stacker.core.plan.plan import Plan, Report
from stacker.view.scene.tabular import seconds_text


def part_text(part: str, plan: Plan | None, report: Report | None, folder: PurePath) -> str:
    """A line about the part `part` (K/N); `plan` has its shards, None if there are none for it.

    `report` is None if it had been written before, and `folder` is where the parts are.
    """
    if plan is None:
        return f"{folder}: part {part} has no shards, because there are fewer shards than parts"
    names = [shard.name for shard in (plan.shards[0], plan.shards[-1])]
    shards = f"shards {names[0]} to {names[1]}" if len(plan.shards) > 1 else f"shard {names[0]}"
    size = filesize.decimal(plan.total_size)
    how = f"written in {seconds_text(report.seconds)}" if report else "written before"
    return f"{folder}: part {part}, {shards}, {size} {how}"


def part_json(part: str, plan: Plan | None, report: Report | None, folder: PurePath) -> dict[str, Any]:
    """The same as a JSON value, with sizes in bytes; `report` is null if the part had been written before."""
    return {
        "ok": True,
        "parts": str(folder),
        "part": part,
        "shards": [shard.name for shard in plan.shards] if plan else [],
        "bytes": plan.total_size if plan else 0,
        "report": asdict(report) if report else None,
    }
