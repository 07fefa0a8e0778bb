"""Writes a part of an output, which is some of its shards, into a folder of its own, on any machine.

The folder is written as an output is: under another name, locked, with a journal. A part that exists is finished.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from stacker.core.plan.parts import select_shards
from stacker.core.plan.plan import Plan, Report, Step
from stacker.core.plan.tasks import Task
from stacker.errors import Mark, StorageError, raise_problems
from stacker.io.output.destination import FolderDestination
from stacker.io.output.folder import Output, open_output
from stacker.io.output.parts import RECORD, FinishedPart, make_record, read_part
from stacker.run.building import BuildOptions, Listener, commit_output
from stacker.run.damage import check_shard
from stacker.run.preparing import Work
from stacker.run.resume import check_earlier_work
from stacker.run.shard_digests import digest_shards

_AGAIN = "write this part again, with --restart"


def write_part(
    work: Work, target: Path, write: Callable[[Output], Report], options: BuildOptions, listener: Listener
) -> Report:
    """Write the shards of `work` into the folder `target` by `write`, or continue what an interrupted run left of it.

    LockedError when another process is writing this part; other errors as in a build.
    """
    with open_output(
        FolderDestination(target), work.plan, work.summary, [RECORD], force=False, restart=options.restart
    ) as output:
        listener.warn(check_earlier_work(work.plan, work.tasks, output, listener.checking, workers=options.workers))
        report = write(output)
        digests = digest_shards(output.folder, work.plan, listener.checking) if options.digests else {}
        output.write_texts(make_record(work.plan.id, digests, output.folder))
        commit_output(output, target, listener)
    return report


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
