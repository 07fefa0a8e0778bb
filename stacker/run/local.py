"""Does the tasks of a plan on this machine: threads share the tasks, and the tiles of large tensors.

The tasks say which bytes to write where, and `compute` evaluates expressions, so this module depends neither on the
layout of shards nor on ops.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from logging import getLogger

from stacker.core.plan.costs import fit_workers
from stacker.core.plan.plan import Plan, Report
from stacker.core.plan.task_making import find_tensors
from stacker.core.plan.tasks import Compute, CopyColumns, CopyRun, Task, Zeros, find_donor_files
from stacker.errors import StackerError, raise_problems
from stacker.io.disk.direct import DIRECT_ALIGNMENT, Writer
from stacker.io.disk.moves import move
from stacker.io.output.folder import Output
from stacker.io.ranges.connections import count_buffers
from stacker.io.ranges.read_ahead import is_streamed
from stacker.progress import Watch, ignore_watch
from stacker.run.compute.device import HOST
from stacker.run.compute.digests import TensorDigests
from stacker.run.compute.evaluation import begin_evaluation
from stacker.run.compute.finiteness import NonFiniteTasks
from stacker.run.compute.rounds import WorkerScratch, compute_rounds
from stacker.run.compute.rows import join_columns
from stacker.run.work.schedule import Job, Schedule, run_schedule, start_threads
from stacker.run.work.sources import OpenFiles, check_unchanged, find_changed_files
from stacker.run.work.workers import Meter, count_workers, measure_memory

_LOG = getLogger(__name__)
_RECORD = 1.0
"""Seconds between two records of finished tasks.

Frequent records also keep the last sync to disk short.
"""


@dataclass(frozen=True, slots=True)
class _Execution:
    """What all tasks of a build share: the donors' files, the output, scratch memory, and the count of bytes done."""

    plan: Plan
    sources: OpenFiles
    output: Output
    scratch: WorkerScratch
    meter: Meter
    digests: TensorDigests = field(default_factory=TensorDigests)
    non_finite: NonFiniteTasks = field(default_factory=NonFiniteTasks)

    def lease_shard(self, task: Task) -> AbstractContextManager[Writer]:
        """Provide the writer of the task's shard for the length of a `with` block.

        An OSError raised inside the block becomes a StorageError that names the shard.
        """
        return self.output.lease_shard(self.plan.shards[task.shard])


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
    """Do the tasks of a plan that are not yet recorded as done in `output`, and return a report.

    Tensors are computed on `device` (`cpu`, `cuda`, or for example `cuda:1`); a GPU's results equal the CPU's up to
    rounding. Finished tasks are recorded durably, even if an error or interrupt is raised, and `watch` is called with
    the bytes done and in total. DonorError if a donor was changed or cannot be read, StorageError if the output cannot
    be written, SpecError if `max_memory` (bytes) is too small.
    """
    started = time.monotonic()
    todo = sorted((task for task in tasks if task.id not in output.done), key=_is_computed)
    used, buffers = measure_memory(), count_buffers(todo)
    threads = fit_workers(plan.steps, workers or count_workers(), max_memory, used, buffers)
    computes = [task for task in todo if isinstance(task, Compute)]
    meter = Meter()
    total = sum(task.nbytes for task in tasks)
    kept = total - sum(task.nbytes for task in todo)
    meter.advance(kept)
    _create_empty_shards(plan, tasks, output)
    _LOG.info("%d tasks, %d of them computed on %s, with %d threads", len(todo), len(computes), device, threads)
    with closing(OpenFiles(output.caches, tasks=todo, stop=meter.stop)) as sources:
        execution = _Execution(plan, sources, output, WorkerScratch(computes, device), meter)
        schedule = Schedule(((task.id, _rounds(task, execution)) for task in todo), meter.stop)
        with _recording(_Recorder(plan, todo, schedule, output, execution.digests)):
            run_schedule(schedule, threads, lambda: watch(meter.done, total))
    watch(meter.done, total)
    check_unchanged(file for task in todo for file in find_donor_files(task))
    non_finite = execution.non_finite.name_tensors(plan, todo)
    return replace(meter.report(), kept=kept, seconds=time.monotonic() - started, non_finite=non_finite)


def _is_computed(task: Task) -> bool:
    """A sort key that puts copy tasks first, so that numeric libraries are imported while bytes are copied."""
    return isinstance(task, Compute)


def _create_empty_shards(plan: Plan, tasks: Sequence[Task], output: Output) -> None:
    """Create the shard files that no task writes to, because none of their tensors has any elements."""
    started = {task.shard for task in tasks}
    for number, shard in enumerate(plan.shards):
        if number not in started:
            with output.lease_shard(shard):
                pass


def _rounds(task: Task, execution: _Execution) -> Iterator[Sequence[Job]]:
    return ([partial(_do, job, task, execution.plan) for job in jobs] for jobs in _jobs(task, execution))


def _do(job: Job, task: Task, plan: Plan) -> None:
    """Run a job; if it raises a StackerError, put the names of the task's tensors before each of its messages."""
    try:
        job()
    except StackerError as error:
        where = _name_tensors(plan, task)
        problems = (replace(problem, message=f"{where}: {problem.message}") for problem in error.problems)
        raise type(error)(*problems) from error


def _name_tensors(plan: Plan, task: Task) -> str:
    names = find_tensors(plan, task)
    return f"tensor '{names[0]}'" if len(names) == 1 else f"tensors '{names[0]}' to '{names[-1]}'"


def _jobs(task: Task, execution: _Execution) -> Iterator[Sequence[Job]]:
    match task:
        case CopyRun():
            yield [partial(_stream_run if is_streamed(task.file) else _copy_run, task, execution)]
        case Compute():
            evaluation = begin_evaluation(task, execution.sources)
            _reserve(task, execution)
            yield from compute_rounds(evaluation, execution.scratch, partial(_write, task, execution))
            execution.meter.count(Report(computed=task.nbytes, read=evaluation.bytes_read()))
        case CopyColumns():
            yield [partial(_copy_columns, task, execution)]
        case Zeros():
            yield [partial(_leave_zeros, task, execution)]


def _copy_run(run: CopyRun, execution: _Execution) -> None:
    with execution.sources.lease_local(run.file) as fd, execution.lease_shard(run) as shard:
        moved = move(fd, run.source, shard, run.offset, run.nbytes, progress=execution.meter.advance)
    execution.meter.count(Report(cloned=moved.cloned, copied=moved.copied, holes=moved.holes, read=moved.copied))


def _stream_run(run: CopyRun, execution: _Execution) -> None:
    with execution.lease_shard(run) as shard:
        shard.reserve(run.offset, run.nbytes)
    write = partial(_write, run, execution)
    execution.sources.stream(run.file, run.source, run.nbytes, write, run.offset % DIRECT_ALIGNMENT)
    execution.meter.count(Report(copied=run.nbytes, read=run.nbytes))


def _copy_columns(columns: CopyColumns, execution: _Execution) -> None:
    with execution.lease_shard(columns) as shard:
        for offset, data in join_columns(columns, execution.sources):
            shard.write(data, offset)
            execution.meter.advance(len(data))
    execution.meter.count(Report(copied=columns.nbytes, read=columns.nbytes))


def _leave_zeros(zeros: Zeros, execution: _Execution) -> None:
    """Create the shard of a Zeros task, and count the task's bytes as done.

    Nothing is written, because parts of a new file that were never written read as zeros.
    """
    with execution.lease_shard(zeros):
        execution.meter.count(Report(holes=zeros.nbytes))
        execution.meter.advance(zeros.nbytes)


def _reserve(compute: Compute, execution: _Execution) -> None:
    with execution.lease_shard(compute) as shard:
        shard.reserve(compute.offset, compute.nbytes if not compute.stride else 0)


def _write(task: Task, execution: _Execution, begin: int, data: memoryview) -> None:
    execution.digests.add(task.id, begin, data)
    execution.non_finite.check(task, data)
    with execution.lease_shard(task) as shard:
        for start, offset, nbytes in task.spans(begin, len(data)):
            shard.write(data[start - begin : start - begin + nbytes], offset)
    execution.meter.advance(len(data))


class _Recorder:
    """Records finished tasks durably in the output, and closes each shard when all tasks of the shard are finished."""

    def __init__(
        self, plan: Plan, tasks: Sequence[Task], schedule: Schedule, output: Output, digests: TensorDigests
    ) -> None:
        self.schedule = schedule
        self._output = output
        self._digests = digests
        self._tasks = {task.id: task for task in tasks}
        self._names = [shard.name for shard in plan.shards]
        self._left = Counter(self._names[task.shard] for task in tasks)

    def record(self) -> None:
        """Write the tasks finished since the last call to the journal, after making their bytes durable.

        Before that, the donors' files that they have read are checked. DonorError if one was changed; tasks that have
        read it are not recorded.
        """
        finished = [self._tasks[task] for task in self.schedule.finished()]
        if not finished:
            return
        changed = find_changed_files(file for task in finished for file in find_donor_files(task))
        sound = [task for task in finished if changed.keys().isdisjoint(find_donor_files(task))]
        shards = [self._names[task.shard] for task in sound]
        self._left.subtract(shards)
        self._output.record(
            [task.id for task in sound],
            {name for name in shards if not self._left[name]},
            donor_files=[file for task in sound for file in find_donor_files(task)],
            digests={task.id: self._digests.take(task.id) for task in sound},
        )
        raise_problems(problem for error in changed.values() for problem in error.problems)

    def record_until(self, over: threading.Event) -> None:
        """Record finished tasks every second until `over` is set; if recording fails, stop the schedule."""
        while not over.wait(_RECORD):
            try:
                self.record()
            except BaseException as error:  # it must reach the thread that waits
                self.schedule.stop(error)
                return


@contextmanager
def _recording(recorder: _Recorder) -> Iterator[None]:
    """Record finished tasks in a second thread while the `with` block runs, and once more after the block.

    They are recorded even if the block raises an exception.
    """
    over = threading.Event()
    thread = threading.Thread(target=recorder.record_until, args=(over,), name="recorder")
    try:
        start_threads([thread])
        yield
    except BaseException:
        _end(thread, over)
        with suppress(StackerError):  # the first error is the one to report
            recorder.record()
        raise
    _end(thread, over)
    if recorder.schedule.error:  # an error of the recorder after the last worker ended
        raise recorder.schedule.error
    recorder.record()


def _end(thread: threading.Thread, over: threading.Event) -> None:
    over.set()
    if thread.ident is not None:  # an interrupt may come before it is started
        thread.join()
