"""The executor on this machine: threads over runs and tensors, and over the pieces of large ones."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from stacker.core.plan.memory import workers_within
from stacker.core.plan.plan import Plan, Report
from stacker.core.plan.task_making import find_tensors
from stacker.core.plan.tasks import Compute, CopyColumns, CopyRun, Task, Zeros
from stacker.core.values.donor import DonorFile
from stacker.core.values.expression import needed_tensors
from stacker.errors import StackerError
from stacker.io.disk.direct import Writer, write_all
from stacker.io.disk.moves import move
from stacker.io.disk.storage import writing
from stacker.io.output.folder import Output
from stacker.progress import Watch, ignore_watch
from stacker.run.compute.device import HOST
from stacker.run.compute.evaluate import begin_evaluation
from stacker.run.compute.rounds import WorkerScratch, compute_rounds
from stacker.run.compute.rows import woven
from stacker.run.work.schedule import Job, Schedule, work_off
from stacker.run.work.sources import OpenFiles, check_unchanged
from stacker.run.work.workers import Meter, available_workers

_RECORD = 1.0
"""Seconds between two times that finished tasks are made durable; early syncs also keep the last one short."""


@dataclass(frozen=True, slots=True)
class _Site:
    """Where a plan is carried out: donors' files, shards (paths and descriptors), scratch, and the count of it all."""

    plan: Plan
    sources: OpenFiles
    paths: Sequence[Path]
    shards: Sequence[Writer]
    bench: WorkerScratch
    meter: Meter


def execute(
    plan: Plan,
    tasks: Sequence[Task],
    output: Output,
    *,
    workers: int | None = None,
    max_memory: int | None = None,
    device: str = HOST,
    watch: Watch = ignore_watch,
) -> Report:
    """Do a plan's tasks in an output, except those that an earlier run has done; `max_memory` is in bytes.

    Arithmetic happens on `device`: cpu, cuda, cuda:1; the others give the same to rounding.

    What is finished is recorded durably on the way, also when this ends by an error or an interrupt. DonorError when
    donors changed or cannot be read, StorageError when the output cannot be written, SpecError when there is too
    little memory for it.
    """
    started = time.monotonic()
    hands = workers_within(plan.steps, workers or available_workers(), max_memory)
    todo = sorted((task for task in tasks if task.id not in output.done), key=_computed)
    computes = [task for task in todo if isinstance(task, Compute)]
    meter = Meter()
    total = sum(task.nbytes for task in tasks)
    kept = total - sum(task.nbytes for task in todo)
    meter.advance(kept)
    with closing(OpenFiles()) as sources, ExitStack() as stack:
        paths = [output.folder / shard.name for shard in plan.shards]
        shards = [stack.enter_context(Writer(fd)) for fd in _write_headers(plan, output)]
        site = _Site(plan, sources, paths, shards, WorkerScratch(computes, device), meter)
        schedule = Schedule(((task.id, _rounds(task, site)) for task in todo), meter.stop)
        with _recording(schedule, output):
            work_off(schedule, hands, lambda: watch(meter.done, total))
    watch(meter.done, total)
    check_unchanged(_files(todo))
    return replace(meter.report(), kept=kept, seconds=time.monotonic() - started)


def _computed(task: Task) -> bool:
    """What is only moved comes first: what computes is imported meanwhile."""
    return isinstance(task, Compute)


def _write_headers(plan: Plan, output: Output) -> list[int]:
    """The descriptors of all shards, each with its header in place."""
    descriptors = []
    for shard in plan.shards:
        fd = output.shard_fd(shard.name, shard.size)
        with writing(output.folder / shard.name):
            write_all(fd, shard.header, 0)
        descriptors.append(fd)
    return descriptors


def _rounds(task: Task, site: _Site) -> Iterator[Sequence[Job]]:
    return ([partial(_do, job, task, site.plan) for job in jobs] for jobs in _jobs(task, site))


def _do(job: Job, task: Task, plan: Plan) -> None:
    """Do a job; what goes wrong in it says which tensor it was about."""
    try:
        job()
    except StackerError as error:
        where = _named(plan, task)
        problems = (replace(problem, message=f"{where}: {problem.message}") for problem in error.problems)
        raise type(error)(*problems) from error


def _named(plan: Plan, task: Task) -> str:
    names = find_tensors(plan, task)
    return f"tensor '{names[0]}'" if len(names) == 1 else f"tensors '{names[0]}' to '{names[-1]}'"


def _jobs(task: Task, site: _Site) -> Iterator[Sequence[Job]]:
    match task:
        case CopyRun():
            yield [partial(_move, task, site)]
        case Compute():
            evaluation = begin_evaluation(task, site.sources)
            _reserve(task, site)
            yield from compute_rounds(evaluation, site.bench, partial(_write, task, site))
            site.meter.count(Report(computed=task.nbytes, read=evaluation.bytes_read()))
        case CopyColumns():
            yield [partial(_weave, task, site)]
        case Zeros():
            site.meter.count(Report(holes=task.nbytes))
            site.meter.advance(task.nbytes)


def _move(run: CopyRun, site: _Site) -> None:
    with site.sources.lease(run.file) as fd:
        shard = site.shards[run.shard]
        moved = move(fd, run.source, shard, run.offset, run.nbytes, progress=site.meter.advance)
    site.meter.count(Report(cloned=moved.cloned, copied=moved.copied, holes=moved.holes, read=moved.copied))


def _weave(weave: CopyColumns, site: _Site) -> None:
    for offset, data in woven(weave, site.sources):
        with writing(site.paths[weave.shard]):
            site.shards[weave.shard].write(data, offset)
        site.meter.advance(len(data))
    site.meter.count(Report(copied=weave.nbytes, read=weave.nbytes))


def _reserve(compute: Compute, site: _Site) -> None:
    with writing(site.paths[compute.shard]):
        site.shards[compute.shard].reserve(compute.offset, compute.nbytes if not compute.stride else 0)


def _write(compute: Compute, site: _Site, begin: int, data: memoryview) -> None:
    with writing(site.paths[compute.shard]):
        for start, offset, nbytes in compute.spans(begin, len(data)):
            site.shards[compute.shard].write(data[start - begin : start - begin + nbytes], offset)
    site.meter.advance(len(data))


@contextmanager
def _recording(schedule: Schedule, output: Output) -> Iterator[None]:
    """What is finished inside is made durable every now and then, and at the end, however that comes about."""
    over = threading.Event()
    recorder = threading.Thread(target=_record_until, args=(over, schedule, output), name="recorder")
    recorder.start()
    try:
        yield
    except BaseException:
        over.set()
        recorder.join()
        with suppress(StackerError):  # the first failure is the one to tell
            _record(schedule, output)
        raise
    over.set()
    recorder.join()
    if schedule.error:  # the recorder's, too late for anybody else to see
        raise schedule.error
    _record(schedule, output)


def _record_until(over: threading.Event, schedule: Schedule, output: Output) -> None:
    while not over.wait(_RECORD):
        try:
            _record(schedule, output)
        except BaseException as error:  # it must reach the thread that waits
            schedule.stop(error)
            return


def _record(schedule: Schedule, output: Output) -> None:
    if finished := schedule.finished():
        output.record(finished)


def _files(tasks: Sequence[Task]) -> Iterator[DonorFile]:
    """The donors' files that tasks read."""
    for task in tasks:
        match task:
            case CopyRun():
                yield task.file
            case CopyColumns():
                yield from (strand.file for strand in task.columns if strand.file)
            case Compute():
                yield from (task.places[ref].file for ref in needed_tensors(task.expression))
