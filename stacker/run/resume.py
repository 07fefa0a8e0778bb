"""Checks what earlier, interrupted runs of a build have written, before this run relies on it.

A shard is written again if a donor's file that it was made from has changed, or if its own bytes have changed. Copied
bytes are compared with the donors' files; computed bytes, and those read from servers, with digests in the journal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from stacker.core.plan.plan import Plan
from stacker.core.plan.tasks import Compute, CopyColumns, CopyRun, Task, find_donor_files
from stacker.errors import Blame, Mark, Problem, Severity
from stacker.formats.safetensors import Stamp
from stacker.io.output.folder import Output
from stacker.io.ranges.read_ahead import is_streamed
from stacker.progress import Watch, ignore_watch
from stacker.run.comparison import CHUNK, Comparison, compare_copied, open_comparison
from stacker.run.compute.digests import TensorDigests, find_chunk_length
from stacker.run.compute.finiteness import NonFiniteTasks
from stacker.run.damage import check_size
from stacker.run.work.schedule import Job
from stacker.run.work.workers import count_workers, measure_memory

_DAMAGED = "what was written there has changed since"
_WORKER = 4 * CHUNK
"""Memory (bytes) of a thread that compares bytes: what is expected, what is found, and copies of both."""
Reasons = dict[int, str]
"""Why shards are written again, by shard number."""


@dataclass(frozen=True, slots=True)
class EarlierWork:
    """What was found in the work of earlier runs: warnings, and the tensors that contain infinities or NaNs."""

    problems: tuple[Problem, ...] = ()
    non_finite: tuple[str, ...] = ()


def check_earlier_work(
    plan: Plan,
    tasks: Sequence[Task],
    output: Output,
    watch: Watch = ignore_watch,
    *,
    workers: int | None = None,
    max_memory: int | None = None,
) -> EarlierWork:
    """Discard from `output` what earlier runs wrote and what cannot be trusted, with a warning for each reason.

    Copies that share disk blocks with the donors are made again, because that is faster than comparing them, and so are
    columns read from servers, which have no digest. `watch` is called with the bytes checked and in total. DonorError
    if a donor cannot be read.
    """
    if not output.done:
        return EarlierWork()
    kept = [task for task in tasks if task.id in output.done]
    again = [task for task in kept if _is_made_again(task, plan)]
    reasons = _find_lost_shards(plan, kept, output)
    reasons |= find_changed_donors(kept, output.record_read.donors)
    left = [task for task in kept if task.shard not in reasons and task not in again]
    non_finite = NonFiniteTasks()
    threads = _fit_workers(workers or count_workers(), max_memory)
    reasons |= _find_damage(plan, left, output, non_finite, watch, threads)
    undone = {task.id for task in kept if task.shard in reasons} | {task.id for task in again}
    undone |= output.done - {task.id for task in tasks}
    if undone:
        output.discard([plan.shards[number].name for number in reasons], undone)
    sound = [task for task in kept if task.id not in undone]
    return EarlierWork(tuple(_describe(reasons, plan, output)), non_finite.name_tensors(plan, sound))


def _is_made_again(task: Task, plan: Plan) -> bool:
    match task:
        case CopyRun():
            return plan.layout.block is not None and not is_streamed(task.file)
        case CopyColumns():
            return any(map(is_streamed, find_donor_files(task)))
        case _:
            return False


def _fit_workers(workers: int, max_memory: int | None) -> int:
    """How many of `workers` threads can compare bytes within `max_memory` bytes of resident memory; at least one."""
    spare = workers * _WORKER if max_memory is None else max_memory - measure_memory().held
    return max(1, min(workers, spare // _WORKER))


def _find_lost_shards(plan: Plan, kept: Sequence[Task], output: Output) -> Reasons:
    numbers = {task.shard for task in kept}
    listed = output.record_read.shards
    lost = (
        number
        for number in numbers
        if plan.shards[number].name not in listed
        or check_size(output.folder / plan.shards[number].name, plan.shards[number])
    )
    return dict.fromkeys(lost, "their files are gone or cut off")


def find_changed_donors(kept: Sequence[Task], recorded: Mapping[str, Stamp]) -> Reasons:
    """The shards with a finished task that has read another version or copy of a donor's file than the present one."""
    return {
        task.shard: f"'{file.place}' {'has changed since' if file.place in recorded else 'was read from elsewhere'}"
        for task in kept
        for file in find_donor_files(task)
        if file.stamp is None or recorded.get(file.place) != file.stamp
    }


def _find_damage(
    plan: Plan, kept: Sequence[Task], output: Output, non_finite: NonFiniteTasks, watch: Watch, workers: int
) -> Reasons:
    """The shards whose header, or whose bytes of a finished task, are not those that were written.

    Computed values are also checked for infinities and NaNs.
    """
    damaged: set[int] = set()

    def report(shard: int, offset: int, expected: bytes, found: bytes) -> None:
        del offset
        if expected != found:
            damaged.add(shard)

    digests = output.record_read.done
    with open_comparison(output.folder, plan, report) as comparison:
        damaged.update(
            number for number in {task.shard for task in kept} if not comparison.has_header(number, plan.shards[number])
        )
        comparison.run(kept, partial(_check, digests, non_finite), watch, workers)
    return dict.fromkeys(damaged, _DAMAGED)


def _check(
    digests: Mapping[str, str], non_finite: NonFiniteTasks, task: Task, comparison: Comparison
) -> Iterator[Sequence[Job]]:
    if isinstance(task, Compute) or digests[task.id]:
        yield [partial(_check_digest, digests[task.id], non_finite, task, comparison)]
    else:
        yield from compare_copied(task, comparison)


def _check_digest(expected: str, non_finite: NonFiniteTasks, task: Task, comparison: Comparison) -> None:
    """Compare the digest of what a task has written in its shard with the digest `expected` from the journal."""
    found = TensorDigests()
    chunk = find_chunk_length(expected) or task.nbytes
    for begin in range(0, task.nbytes, chunk):
        nbytes = min(chunk, task.nbytes - begin)
        with comparison.lease_shard(task.shard) as reader:
            parts = [bytes(reader.read(length, offset)) for _, offset, length in task.spans(begin, nbytes)]
        data = memoryview(b"".join(parts))
        found.add(task.id, begin, data)
        non_finite.check(task, data)
        comparison.meter.advance(nbytes)
    comparison.report(task.shard, task.offset, expected.encode(), found.take(task.id).encode())


def _describe(reasons: Reasons, plan: Plan, output: Output) -> Iterator[Problem]:
    """Yield a warning for each reason, with the number of shards that are written again for that reason."""
    for reason in dict.fromkeys(reasons.values()):
        count = sum(each == reason for each in reasons.values())
        shards = f"{count} of {len(plan.shards)} shards {'is' if count == 1 else 'are'} written again"
        mark = Mark(str(output.folder))
        yield Problem(f"{shards}: {reason}", "", mark, Severity.WARNING, Blame.STORAGE)
