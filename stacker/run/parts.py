"""Writes a part of an output, which is some of its shards, into a folder of its own, on any machine.

The folder is written as an output is: under another name, locked, with a journal. A part that exists is finished.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from stacker.core.plan.parts import select_shards
from stacker.core.plan.plan import Plan, Report, Step
from stacker.core.plan.tasks import Task
from stacker.errors import Mark, Problem, StorageError, raise_problems
from stacker.io.output.destination import FolderDestination
from stacker.io.output.folder import Output, open_output
from stacker.io.output.parts import RECORD, FinishedPart, make_record, read_part
from stacker.run.damage import check_shard

_AGAIN = "write this part again, with --restart"


Digest = Callable[[Path], Mapping[str, str]]
"""A function that returns the SHA-256 of the shards in a folder, by name."""


def compute_none(folder: Path) -> dict[str, str]:
    """The Digest that computes nothing."""
    del folder
    return {}


def write_part(
    plan: Plan,
    summary: Mapping[str, str],
    target: Path,
    write: Callable[[Output], Report],
    *,
    restart: bool,
    digest: Digest = compute_none,
) -> tuple[Report, tuple[Problem, ...]]:
    """Write the shards of `plan` into the folder `target` by `write`.

    With `restart`, what is left of an earlier run is deleted first. Returns a report, and warnings about what failed
    after the part was complete. LockedError when another process is writing this part.
    """
    place = FolderDestination(target)
    with open_output(place, plan, summary, [RECORD], force=False, restart=restart) as output:
        report = write(output)
        output.write_texts(make_record(plan.id, digest(output.folder), output.folder))
        return report, output.commit()


def find_finished(target: Path, plan: Plan) -> FinishedPart | None:
    """The part in the folder `target` if it has been written; an error if it is damaged, or a part of another plan."""
    part = read_part(target)
    if part is None:
        return None
    problems = (check_shard(target / shard.name, shard) for shard in plan.shards)
    raise_problems(replace(each, hint=_AGAIN) for each in problems if each)
    if part.plan_id != plan.id:
        raise StorageError.of("this part was written by another plan", _AGAIN, Mark(str(target)))
    return part


def cut_into_shards(
    plan: Plan, tasks: Sequence[Task], numbers: Sequence[int]
) -> Iterator[tuple[int, Plan, tuple[Task, ...]]]:
    """Yield for each shard in `numbers` its number, and the plan and the tasks of that shard alone, as number 0.

    They are made when they are needed, so that few are in memory. They have what executors need, but no config.
    """
    wanted = set(numbers)
    own: dict[int, list[Task]] = {number: [] for number in numbers}
    steps: dict[int, list[Step]] = {number: [] for number in numbers}
    for task in tasks:
        if task.shard in wanted:
            own[task.shard].append(task)
    for step in plan.steps:
        if step.shard in wanted:
            steps[step.shard].append(step)
    for number in numbers:
        bare = replace(plan, config={}, steps=tuple(steps[number]), unused=(), tied=())
        piece = select_shards(bare, range(number, number + 1))
        yield number, piece, tuple(replace(task, shard=0) for task in own[number])
