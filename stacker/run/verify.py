"""Whether an output on the disk is what its plan says: every file and every byte of every shard.

Copies are compared with the donors, tensors that took arithmetic are made again. Each damaged tensor is named once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stacker.core.plan.plan import Plan, Shard
from stacker.core.plan.task_making import tasks_of
from stacker.core.plan.tasks import Compute, CopyColumns, CopyRun, Task
from stacker.core.values.donor import Donor
from stacker.errors import Problem
from stacker.io.disk.direct import Reader
from stacker.io.disk.space import data_runs
from stacker.io.disk.storage import writing
from stacker.io.files.regular_files import read_exactly
from stacker.progress import Watch, ignore_watch
from stacker.run.compute.evaluate import begin_evaluation
from stacker.run.compute.rounds import WorkerScratch, compute_rounds
from stacker.run.compute.rows import woven
from stacker.run.damage import Damage, check_contents, wrong
from stacker.run.work.schedule import Job, Schedule, work_off
from stacker.run.work.sources import OpenFiles
from stacker.run.work.workers import Meter, available_workers

_CHUNK = 1 << 21
_PART = 32 * _CHUNK
"""Bytes that one job compares."""


@dataclass(frozen=True, slots=True)
class _Site:
    """What is compared: donors' files with shards (by number), and where the outcome goes."""

    sources: OpenFiles
    paths: Sequence[Path]
    shards: Mapping[int, Reader]
    bench: WorkerScratch
    meter: Meter
    damage: Damage


def compare(
    folder: Path, plan: Plan, donors: Mapping[str, Donor], watch: Watch = ignore_watch, *, workers: int | None = None
) -> Iterator[Problem]:
    """All that is wrong with an output, file by file; DonorError when a donor is not there or cannot be read."""
    yield from check_contents(folder, plan)
    paths = [folder / shard.name for shard in plan.shards]
    tasks = tasks_of(plan, donors, _PART)
    with ExitStack() as stack:
        whole: dict[int, Reader] = {}
        for number, shard in enumerate(plan.shards):
            problem = _check_size(paths[number], shard)
            if problem is None:
                whole[number] = _opened(paths[number], stack)
                problem = _check_header(paths[number], whole[number].fd, shard)
            if problem:
                yield problem
        damage = Damage(plan)
        present = [task for task in tasks if task.shard in whole]
        computes = [task for task in present if isinstance(task, Compute)]
        with closing(OpenFiles()) as sources:
            site = _Site(sources, paths, whole, WorkerScratch(computes), Meter(), damage)
            _compare_tensors(present, site, watch, workers or available_workers())
    yield from damage.problems(paths)


def _check_size(path: Path, shard: Shard) -> Problem | None:
    if not path.is_file():
        return wrong(path, "this shard is missing", "build it again")
    size = path.stat().st_size
    return None if size == shard.size else wrong(path, f"this shard has {size:,} bytes, not {shard.size:,}")


def _opened(path: Path, stack: ExitStack) -> Reader:
    with writing(path, "read"):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    stack.callback(os.close, fd)
    return stack.enter_context(Reader(fd))


def _check_header(path: Path, fd: int, shard: Shard) -> Problem | None:
    with writing(path, "read"):
        same = os.pread(fd, len(shard.header), 0) == shard.header
    return None if same else wrong(path, "the header of this shard is not as planned", "build it again")


def _compare_tensors(tasks: Sequence[Task], site: _Site, watch: Watch, workers: int) -> None:
    total = sum(task.nbytes for task in tasks)
    schedule = Schedule(((task.id, _rounds(task, site)) for task in tasks), site.meter.stop)
    work_off(schedule, workers, lambda: watch(site.meter.done, total))
    watch(site.meter.done, total)


def _rounds(task: Task, site: _Site) -> Iterator[Sequence[Job]]:
    match task:
        case Compute():
            evaluation = begin_evaluation(task, site.sources)
            yield from compute_rounds(evaluation, site.bench, partial(_compare_computed, task, site))
        case CopyColumns():
            yield [partial(_compare_woven, task, site)]
        case _:
            yield [partial(_compare_unchanged, task, site)]


def _compare_unchanged(task: Task, site: _Site) -> None:
    """A run with the donor's bytes, zeros with zeros; where both sides are holes there is nothing to compare."""
    for begin in range(0, task.nbytes, _CHUNK):
        nbytes = min(_CHUNK, task.nbytes - begin)
        expected = _expected(task, site, begin, nbytes)
        if expected is None and not data_runs(site.shards[task.shard].fd, task.offset + begin, nbytes):
            site.meter.advance(nbytes)
        else:
            _compare(task.shard, site, task.offset + begin, expected or bytes(nbytes))


def _compare_computed(compute: Compute, site: _Site, begin: int, expected: memoryview) -> None:
    for start, offset, nbytes in compute.spans(begin, len(expected)):
        _compare(compute.shard, site, offset, expected[start - begin : start - begin + nbytes])


def _compare_woven(weave: CopyColumns, site: _Site) -> None:
    for offset, expected in woven(weave, site.sources):
        _compare(weave.shard, site, offset, expected)


def _expected(task: Task, site: _Site, begin: int, nbytes: int) -> bytes | None:
    """What the bytes from `begin` of a task on should be; None where they are zeros that nobody stored."""
    if not isinstance(task, CopyRun):
        return None
    with site.sources.lease(task.file) as fd:
        if not data_runs(fd, task.source + begin, nbytes):
            return None
        return read_exactly(fd, nbytes, task.source + begin, Path(str(task.file.path)))


def _compare(shard: int, site: _Site, offset: int, expected: memoryview | bytes) -> None:
    """A shard's bytes from `offset` on with what they should be."""
    with writing(site.paths[shard], "read"):
        found = site.shards[shard].read(len(expected), offset)
    site.damage.compare(shard, offset, bytes(expected), bytes(found))
    site.meter.advance(len(expected))
