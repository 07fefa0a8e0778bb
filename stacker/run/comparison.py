"""Compares the bytes in shards with those that copying tasks should have written there.

`verify` compares a finished output in this way, and `resume` the unfinished work of an earlier run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from stacker.core.plan.plan import Plan, Shard
from stacker.core.plan.tasks import CopyColumns, CopyRun, Task
from stacker.io.disk.copies import find_data_runs
from stacker.io.disk.direct import Reader
from stacker.io.disk.open_files import FileCache, limit_open_files
from stacker.io.disk.storage import explain_errors
from stacker.progress import Watch
from stacker.run.compute.rows import join_columns
from stacker.run.work.schedule import Job, Schedule, run_schedule
from stacker.run.work.sources import OpenFiles
from stacker.run.work.workers import Meter

CHUNK = 1 << 21
"""How many bytes are read and compared at once."""
_MOST_OPEN = 32
"""The most shards that stay open at once, not counting shards that are being read."""
Report = Callable[[int, int, bytes, bytes], None]
"""A function that is called with a shard's number, a file offset, and the expected and the found bytes there."""
CheckRounds = Callable[[Task, "Comparison"], Iterator[Sequence[Job]]]
"""A function that makes the rounds of jobs that check what a task has written."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What all jobs of a comparison share: the shards' files, the donors' files, and the count of bytes compared.

    `report` is called with every piece that was compared, from many threads, whether it differs or not.
    """

    paths: Sequence[Path]
    shards: FileCache[Reader]
    sources: OpenFiles
    report: Report
    meter: Meter = field(default_factory=Meter)

    def lease_shard(self, number: int) -> AbstractContextManager[Reader]:
        """Provide the reader of shard number `number` for the length of a `with` block.

        An OSError raised inside the block becomes a StorageError that names the shard.
        """
        return _lease(self.shards, self.paths[number])

    def has_header(self, number: int, shard: Shard) -> bool:
        """Whether the file of a shard begins with the planned header."""
        with self.lease_shard(number) as reader:
            return shard.mask_lock(bytes(reader.read(len(shard.header), 0))) == shard.header

    def compare(self, shard: int, offset: int, expected: memoryview | bytes) -> None:
        """Compare the bytes of shard number `shard` from `offset` on with `expected`, and report both."""
        with self.lease_shard(shard) as reader:
            found = bytes(reader.read(len(expected), offset))
        self.report(shard, offset, bytes(expected), found)
        self.meter.advance(len(expected))

    def run(self, tasks: Sequence[Task], check: CheckRounds, watch: Watch, workers: int) -> None:
        """Compare what all `tasks` should have written with what is there, by `check`, in `workers` threads."""
        total = sum(task.nbytes for task in tasks)
        schedule = Schedule(((task.id, check(task, self)) for task in tasks), self.meter.stop)
        run_schedule(schedule, workers, lambda: watch(self.meter.done, total))
        watch(self.meter.done, total)


@contextmanager
def open_comparison(folder: Path, plan: Plan, report: Report, donor_tasks: Sequence[Task] = ()) -> Iterator[Comparison]:
    """Yield a Comparison of the shards in `folder`; files are opened when they are needed, and closed at the end.

    `donor_tasks` are the tasks whose donors' bytes will be read.
    """
    shards: FileCache[Reader] = FileCache(_close_reader, limit_open_files(_MOST_OPEN, 2))
    meter = Meter()
    with closing(shards), closing(OpenFiles(shards.group, tasks=donor_tasks, stop=meter.stop)) as sources:
        yield Comparison([folder / shard.name for shard in plan.shards], shards, sources, report, meter)


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


def compare_copied(task: Task, comparison: Comparison) -> Iterator[Sequence[Job]]:
    """The rounds of a task that copies or leaves zeros: its bytes are compared with those of the donors' files."""
    match task:
        case CopyColumns():
            yield [partial(_compare_columns, task, comparison)]
        case _:
            yield [partial(_compare_unchanged, task, comparison)]


def _compare_unchanged(task: Task, comparison: Comparison) -> None:
    """Compare copied bytes with the donor's file, or the bytes of a Zeros task with zeros.

    Where zeros are expected, a hole in the shard (zeros that take up no disk space) is accepted without reading it.
    """
    for begin in range(0, task.nbytes, CHUNK):
        nbytes = min(CHUNK, task.nbytes - begin)
        expected = _expected(task, comparison, begin, nbytes)
        if expected is None and _is_hole(task, comparison, begin, nbytes):
            comparison.meter.advance(nbytes)
        else:
            comparison.compare(task.shard, task.offset + begin, expected or bytes(nbytes))


def _is_hole(task: Task, comparison: Comparison, begin: int, nbytes: int) -> bool:
    """Whether bytes [begin, begin + nbytes) of a task's output are a hole in the shard.

    A hole is a range of a file that reads as zeros but takes up no disk space.
    """
    with comparison.lease_shard(task.shard) as shard:
        return not find_data_runs(shard.fd, task.offset + begin, nbytes)


def _compare_columns(columns: CopyColumns, comparison: Comparison) -> None:
    for offset, expected in join_columns(columns, comparison.sources):
        comparison.compare(columns.shard, offset, expected)


def _expected(task: Task, comparison: Comparison, begin: int, nbytes: int) -> bytes | None:
    """The bytes [begin, begin + nbytes) that a task should have written; None if they are known to be zeros.

    They are known to be zeros in a Zeros task, and where the donor's file has a hole (zeros that take no disk space).
    """
    if not isinstance(task, CopyRun):
        return None
    with comparison.sources.lease(task.file) as source:
        if not source.find_stored(task.source + begin, nbytes):
            return None
        data = bytearray(nbytes)
        source.read_into(memoryview(data), task.source + begin)
        return bytes(data)
