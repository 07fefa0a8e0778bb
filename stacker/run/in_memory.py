"""Computes or reads single tensors of a plan into memory, by the same tasks that an executor writes to shards.

The caller provides the memory, so this module knows neither shards nor what the tensors are used for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from stacker.core.plan.plan import Report, Step
from stacker.core.plan.task_making import make_step_tasks
from stacker.core.plan.tasks import Compute, CopyColumns, CopyRun, Task, TensorBytes, Zeros, find_donor_files
from stacker.errors import StackerError
from stacker.progress import Watch, ignore_watch
from stacker.run.compute.device import HOST
from stacker.run.compute.evaluation import begin_evaluation
from stacker.run.compute.rounds import WorkerScratch, compute_rounds
from stacker.run.compute.rows import join_columns
from stacker.run.work.schedule import Job, Schedule, run_schedule
from stacker.run.work.sources import OpenFiles, check_unchanged
from stacker.run.work.workers import Meter, count_workers
from stacker.tensors import TensorRef

Places = Mapping[TensorRef, TensorBytes]


@dataclass(frozen=True, slots=True)
class Target:
    """A step whose tensor is wanted, and the writable memory of `step.tensor.nbytes` bytes for it."""

    step: Step
    memory: memoryview


@dataclass(frozen=True, slots=True)
class _Filling:
    """What all tasks of one call share: donors' files, scratch memory, and the count of bytes done.

    `non_finite` collects the names of tensors with computed values that are infinite or not a number.
    """

    sources: OpenFiles
    scratch: WorkerScratch
    meter: Meter
    non_finite: set[str] = field(default_factory=set)


def fill_targets(
    targets: Sequence[Target],
    places: Places,
    sources: OpenFiles,
    *,
    workers: int | None = None,
    device: str = HOST,
    watch: Watch = ignore_watch,
) -> Report:
    """Fill the memory of each target with its tensor's bytes, exactly those that a build would write.

    `places` says where the donor tensors are stored. `watch` is called with the bytes done and in total. Raises
    DonorError if a donor's file cannot be read or was changed.
    """
    tasks = [(target, task) for target in targets for task in _tasks(target.step, places)]
    computes = [task for _, task in tasks if isinstance(task, Compute)]
    filling = _Filling(sources, WorkerScratch(computes, device), Meter())
    named = ((f"{target.step.tensor.name} {task.id}", _rounds(target, task, filling)) for target, task in tasks)
    total = sum(task.nbytes for _, task in tasks)
    schedule = Schedule(named, filling.meter.stop)
    run_schedule(
        schedule, min(workers or count_workers(), max(len(tasks), 1)), lambda: watch(filling.meter.done, total)
    )
    watch(total, total)
    check_unchanged(file for _, task in tasks for file in find_donor_files(task))
    return replace(filling.meter.report(), non_finite=tuple(sorted(filling.non_finite)))


def _tasks(step: Step, places: Places) -> tuple[Task, ...]:
    """The tasks of a step, with offsets that start at 0."""
    return make_step_tasks(replace(step, shard=0, offset=0), places)


def _rounds(target: Target, task: Task, filling: _Filling) -> Iterator[Sequence[Job]]:
    return ([partial(_do, job, target) for job in jobs] for jobs in _jobs(target, task, filling))


def _do(job: Job, target: Target) -> None:
    """Run a job; if it raises a StackerError, put the tensor's name before each of its messages."""
    try:
        job()
    except StackerError as error:
        where = f"tensor '{target.step.tensor.name}'"
        problems = (replace(problem, message=f"{where}: {problem.message}") for problem in error.problems)
        raise type(error)(*problems) from error


def _jobs(target: Target, task: Task, filling: _Filling) -> Iterator[Sequence[Job]]:
    memory = target.memory
    match task:
        case CopyRun():
            yield [partial(_read_run, memory, task, filling)]
        case Compute():
            evaluation = begin_evaluation(task, filling.sources)
            yield from compute_rounds(evaluation, filling.scratch, partial(_store, target, task, filling))
            filling.meter.count(Report(computed=task.nbytes, read=evaluation.bytes_read()))
        case CopyColumns():
            yield [partial(_read_columns, memory, task, filling)]
        case Zeros():
            yield [partial(_clear, memory, task, filling)]


def _read_run(memory: memoryview, run: CopyRun, filling: _Filling) -> None:
    with filling.sources.lease(run.file) as source:
        source.read_into(memory[run.offset : run.offset + run.nbytes], run.source)
    filling.meter.count(Report(copied=run.nbytes, read=run.nbytes))
    filling.meter.advance(run.nbytes)


def _read_columns(memory: memoryview, columns: CopyColumns, filling: _Filling) -> None:
    for offset, data in join_columns(columns, filling.sources):
        memory[offset : offset + len(data)] = data
        filling.meter.advance(len(data))
    filling.meter.count(Report(copied=columns.nbytes, read=columns.nbytes))


def _store(target: Target, compute: Compute, filling: _Filling, begin: int, data: memoryview) -> None:
    from stacker.arithmetic.finiteness import has_non_finite

    if has_non_finite(data, compute.dtype):
        filling.non_finite.add(target.step.tensor.name)
    for start, offset, nbytes in compute.spans(begin, len(data)):
        target.memory[offset : offset + nbytes] = data[start - begin : start - begin + nbytes]
    filling.meter.advance(len(data))


def _clear(memory: memoryview, zeros: Zeros, filling: _Filling) -> None:
    memory[zeros.offset : zeros.offset + zeros.nbytes] = bytes(zeros.nbytes)
    filling.meter.advance(zeros.nbytes)
