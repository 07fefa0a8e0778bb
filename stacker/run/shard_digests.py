"""SHA-256 digests of whole shards, by which a copy of an output can be checked where its donors are not at hand.

They are cryptographic, and equal to what `sha256sum` prints and what the hub lists for each file.
"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from stacker.core.plan.plan import Plan, Shard
from stacker.errors import Problem
from stacker.progress import Watch, ignore_watch
from stacker.run.comparison import CHUNK, Comparison, open_comparison
from stacker.run.damage import check_contents, check_size, make_file_problem
from stacker.run.work.schedule import Job, Rounds, Schedule, run_schedule
from stacker.run.work.workers import count_workers


def digest_shards(
    folder: Path, plan: Plan, watch: Watch = ignore_watch, *, workers: int | None = None
) -> dict[str, str]:
    """Read all shards in `folder`, and return the SHA-256 of each in hex, by name; StorageError when reading fails."""
    return _digest(folder, plan, range(len(plan.shards)), watch, workers or count_workers())


def check_digests(
    folder: Path, plan: Plan, digests: Mapping[str, str], watch: Watch = ignore_watch, *, workers: int | None = None
) -> Iterator[Problem]:
    """Yield a problem for each shard whose SHA-256 is not the one in `digests`, and for other wrong files."""
    yield from check_contents(folder, plan)
    problems = {number: check_size(folder / shard.name, shard) for number, shard in enumerate(plan.shards)}
    yield from (problem for problem in problems.values() if problem)
    sound = [number for number, problem in problems.items() if not problem]
    for name, digest in _digest(folder, plan, sound, watch, workers or count_workers()).items():
        if digest != digests[name]:
            message = "this shard is damaged: its SHA-256 is not the one in the lock file"
            yield make_file_problem(folder / name, message, "copy it again, or build the stack again")


def _digest(folder: Path, plan: Plan, numbers: Sequence[int], watch: Watch, workers: int) -> dict[str, str]:
    total = sum(plan.shards[number].size for number in numbers)
    found: dict[int, str] = {}
    with open_comparison(folder, plan, _ignore) as comparison:
        jobs = ((str(number), _rounds(partial(_digest_shard, number, comparison, plan, found))) for number in numbers)
        run_schedule(Schedule(jobs, comparison.meter.stop), workers, lambda: watch(comparison.meter.done, total))
    return {plan.shards[number].name: found[number] for number in numbers}


def _rounds(job: Job) -> Rounds:
    yield [job]


def _digest_shard(number: int, comparison: Comparison, plan: Plan, found: dict[int, str]) -> None:
    shard, digest = plan.shards[number], hashlib.sha256()
    size = shard.size
    with comparison.lease_shard(number) as reader:
        for begin in range(0, size, CHUNK):
            data = reader.read(min(CHUNK, size - begin), begin)
            if len(data) < min(CHUNK, size - begin):
                raise OSError(errno.EIO, "the file was cut off")
            digest.update(_mask_lock(data, begin, shard))
            comparison.meter.advance(len(data))
    found[number] = digest.hexdigest()


def _mask_lock(data: memoryview, begin: int, shard: Shard) -> memoryview | bytes:
    """A piece of a shard from byte `begin` on, with spaces in place of the lock, which has the digest itself."""
    at, room = shard.lock
    first, last = max(at, begin), min(at + room, begin + len(data))
    if first >= last:
        return data
    return b"".join((data[: first - begin], b" " * (last - first), data[last - begin :]))


def _ignore(shard: int, offset: int, expected: bytes, found: bytes) -> None:
    del shard, offset, expected, found
