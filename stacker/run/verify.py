"""Verifies an output: compares config.json, the index and every byte of every shard with what the plan says.

Copied tensors are compared with the donors' files, and computed tensors are computed again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stacker.core.plan.plan import Plan, Shard
from stacker.core.plan.task_making import make_tasks
from stacker.core.plan.tasks import Compute, CopyColumns, CopyRun, Task
from stacker.core.values.donor import Donor
from stacker.errors import Problem
from stacker.io.disk.copies import find_data_runs
from stacker.io.disk.direct import Reader
from stacker.io.disk.open_files import FileCache, limit_open_files
from stacker.io.disk.storage import explain_errors
from stacker.io.files.paths import is_file, read_status
from stacker.io.files.regular_files import read_exactly
from stacker.progress import Watch, ignore_watch
from stacker.run.compute.evaluate import begin_evaluation
from stacker.run.compute.rounds import WorkerScratch, compute_rounds
from stacker.run.compute.rows import join_columns
from stacker.run.damage import Damage, check_contents, make_file_problem
from stacker.run.work.schedule import Job, Schedule, run_schedule
from stacker.run.work.sources import OpenFiles
from stacker.run.work.workers import Meter, count_workers

_CHUNK = 1 << 21
_PART = 32 * _CHUNK
"""The most copied bytes that one job compares."""
_MOST_OPEN = 32
"""The most shards that stay open at once, not counting shards that are being read."""


@dataclass(frozen=True, slots=True)
class _Comparison:
    """What all jobs of a verification share: the shards, the donors' files, scratch memory, and the results so far."""

    paths: Sequence[Path]
    shards: FileCache[Reader]
    sources: OpenFiles
    scratch: WorkerScratch
    meter: Meter
    damage: Damage

    def lease_shard(self, number: int) -> AbstractContextManager[Reader]:
        """Provide the reader of shard number `number` for the length of a `with` block.

        An OSError raised inside the block becomes a StorageError that names the shard.
        """
        return _lease(self.shards, self.paths[number])


def compare(
    folder: Path, plan: Plan, donors: Mapping[str, Donor], watch: Watch = ignore_watch, *, workers: int | None = None
) -> Iterator[Problem]:
    """Yield a problem for each file of the output that differs from the plan, and for each damaged tensor.

    `watch` is called with the number of bytes compared so far and the total number of bytes. DonorError if a donor is
    missing, was changed, or cannot be read.
    """
    yield from check_contents(folder, plan)
    paths = [folder / shard.name for shard in plan.shards]
    tasks = make_tasks(plan, donors, _PART)
    readers: FileCache[Reader] = FileCache(_close_reader, limit_open_files(_MOST_OPEN, 2))
    with closing(readers), closing(OpenFiles(readers.group)) as sources:
        present = set()
        for number, shard in enumerate(plan.shards):
            problem = _check_size(paths[number], shard)
            if problem is None:
                present.add(number)
                problem = _check_header(readers, paths[number], shard)
            if problem:
                yield problem
        damage = Damage(plan)
        found = [task for task in tasks if task.shard in present]
        computes = [task for task in found if isinstance(task, Compute)]
        comparison = _Comparison(paths, readers, sources, WorkerScratch(computes), Meter(), damage)
        _compare_tensors(found, comparison, watch, workers or count_workers())
    yield from damage.problems(paths)


def _check_size(path: Path, shard: Shard) -> Problem | None:
    status = read_status(path)
    if status is None or not is_file(path):
        return make_file_problem(path, "this shard is missing", "build it again")
    size = status.st_size
    return None if size == shard.size else make_file_problem(path, f"this shard has {size:,} bytes, not {shard.size:,}")


def _check_header(readers: FileCache[Reader], path: Path, shard: Shard) -> Problem | None:
    with _lease(readers, path) as reader:
        same = os.pread(reader.fd, len(shard.header), 0) == shard.header
    return None if same else make_file_problem(path, "the header of this shard is not as planned", "build it again")


@contextmanager
def _lease(readers: FileCache[Reader], path: Path) -> Iterator[Reader]:
    with explain_errors(path, "read"), readers.lease(str(path), partial(_open_reader, path)) as reader:
        yield reader


def _open_reader(path: Path) -> Reader:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return Reader(fd)
    except BaseException:
        os.close(fd)
        raise


def _close_reader(reader: Reader) -> None:
    reader.close()
    os.close(reader.fd)


def _compare_tensors(tasks: Sequence[Task], comparison: _Comparison, watch: Watch, workers: int) -> None:
    total, meter = sum(task.nbytes for task in tasks), comparison.meter
    schedule = Schedule(((task.id, _rounds(task, comparison)) for task in tasks), meter.stop)
    run_schedule(schedule, workers, lambda: watch(meter.done, total))
    watch(meter.done, total)


def _rounds(task: Task, comparison: _Comparison) -> Iterator[Sequence[Job]]:
    match task:
        case Compute():
            evaluation = begin_evaluation(task, comparison.sources)
            yield from compute_rounds(evaluation, comparison.scratch, partial(_compare_computed, task, comparison))
        case CopyColumns():
            yield [partial(_compare_columns, task, comparison)]
        case _:
            yield [partial(_compare_unchanged, task, comparison)]


def _compare_unchanged(task: Task, comparison: _Comparison) -> None:
    """Compare copied bytes with the donor's file, or the bytes of a Zeros task with zeros.

    Where zeros are expected, a hole in the shard (zeros that take up no disk space) is accepted without reading it.
    """
    for begin in range(0, task.nbytes, _CHUNK):
        nbytes = min(_CHUNK, task.nbytes - begin)
        expected = _expected(task, comparison, begin, nbytes)
        if expected is None and _is_hole(task, comparison, begin, nbytes):
            comparison.meter.advance(nbytes)
        else:
            _compare(task.shard, comparison, task.offset + begin, expected or bytes(nbytes))


def _is_hole(task: Task, comparison: _Comparison, begin: int, nbytes: int) -> bool:
    """Whether bytes [begin, begin + nbytes) of a task's output are a hole in the shard.

    A hole is a range of a file that reads as zeros but takes up no disk space.
    """
    with comparison.lease_shard(task.shard) as shard:
        return not find_data_runs(shard.fd, task.offset + begin, nbytes)


def _compare_computed(compute: Compute, comparison: _Comparison, begin: int, expected: memoryview) -> None:
    for start, offset, nbytes in compute.spans(begin, len(expected)):
        _compare(compute.shard, comparison, offset, expected[start - begin : start - begin + nbytes])


def _compare_columns(columns: CopyColumns, comparison: _Comparison) -> None:
    for offset, expected in join_columns(columns, comparison.sources):
        _compare(columns.shard, comparison, offset, expected)


def _expected(task: Task, comparison: _Comparison, begin: int, nbytes: int) -> bytes | None:
    """The bytes [begin, begin + nbytes) that a task should have written; None if they are known to be zeros.

    They are known to be zeros in a Zeros task, and where the donor's file has a hole (zeros that take no disk space).
    """
    if not isinstance(task, CopyRun):
        return None
    with comparison.sources.lease(task.file) as fd:
        if not find_data_runs(fd, task.source + begin, nbytes):
            return None
        return read_exactly(fd, nbytes, task.source + begin, Path(str(task.file.path)))


def _compare(shard: int, comparison: _Comparison, offset: int, expected: memoryview | bytes) -> None:
    """Compare the bytes of shard number `shard` from `offset` on with `expected`, and record damaged tensors."""
    with comparison.lease_shard(shard) as reader:
        found = bytes(reader.read(len(expected), offset))
    comparison.damage.compare(shard, offset, bytes(expected), found)
    comparison.meter.advance(len(expected))
