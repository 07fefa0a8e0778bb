"""Does the tasks of a plan on a Ray cluster: one task of Ray writes one shard, as a part of the output.

No tensor passes through Ray. Workers read the donors and write the shards themselves; the program that gives the
command, the driver, moves finished shards into the output and keeps the journal, so it can be killed and go on.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from stacker.core.plan.costs import predict_peak
from stacker.core.plan.parts import name_shards
from stacker.core.plan.plan import Plan, Report
from stacker.core.plan.tasks import Task
from stacker.errors import LockedError, Mark, SpecError, StackerError, StorageError, VerifyError
from stacker.formats.gguf_names import SUFFIX
from stacker.io.files.paths import exists
from stacker.io.output.folder import Output
from stacker.io.output.partial_folder import drop_folder
from stacker.io.output.parts import FinishedPart
from stacker.io.ranges.node_cache import CACHE_VARIABLES, read_cache_variables
from stacker.progress import Watch, ignore_watch
from stacker.run import local
from stacker.run.compute.device import HOST
from stacker.run.parts import cut_into_shards, find_finished, write_part
from stacker.run.ray_cluster import choose_options, connect, count_waiting, list_needed

IO = "io"
"""The custom resource that bounds how many shards a node reads and writes at once, if the nodes declare it."""
_LOCKED = 60.0
"""How many seconds a worker waits for another, on a node that is being lost, to give up the same shard."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What a worker needs: the plan of one shard, its tasks, the folder of the part, and the variables of its cache."""

    plan: Plan
    tasks: tuple[Task, ...]
    target: Path
    workers: int
    max_memory: int | None
    device: str
    cache: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Written:
    """What a worker returns: the finished part, and a report, None if the part had been written before."""

    part: FinishedPart
    report: Report | None


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
    """Write all shards with tasks that are not done, on the cluster that RAY_ADDRESS names; see `local.execute`.

    `workers` is the number of threads, and of CPUs, for each shard. Without RAY_ADDRESS, Ray is started on this
    machine. SpecError when Ray is not installed or no node is large enough, StorageError when a shard fails for good.
    """
    if any(shard.name.endswith(SUFFIX) for shard in plan.shards):
        raise SpecError.of("a GGUF stack is written in one piece", "build it with the executor local")
    started = time.monotonic()
    parts = output.folder.with_name(f"{output.folder.name.removesuffix('.partial')}.parts")
    numbers = _list_unwritten(plan, tasks, output)
    left, total = (sum(plan.shards[number].size for number in some) for some in (numbers, range(len(plan.shards))))
    reports = [Report(kept=total - left)]
    make = partial(Piece, workers=workers or 1, max_memory=max_memory, device=device, cache=read_cache_variables())
    pieces = (
        (number, make(own, todo, parts / name_shards(range(number, number + 1))))
        for number, own, todo in cut_into_shards(plan, tasks, numbers)
    )
    with connect() as ray:
        _discard(plan, tasks, output, numbers)
        watch(total - left, total)
        for number, written in _run(ray, pieces):
            _adopt(plan, number, written, output)
            left -= plan.shards[number].size
            reports.append(written.report or Report(kept=plan.shards[number].size))
            watch(total - left, total)
    with suppress(OSError):  # there may be parts of somebody else
        parts.rmdir()
    return replace(sum(reports, Report()), seconds=time.monotonic() - started)


def _list_unwritten(plan: Plan, tasks: Sequence[Task], output: Output) -> list[int]:
    """The numbers of the shards with a task that is not done, and of those without tasks, which are only created."""
    undone = {task.shard for task in tasks if task.id not in output.done}
    return sorted(undone | (set(range(len(plan.shards))) - {task.shard for task in tasks}))


def _discard(plan: Plan, tasks: Sequence[Task], output: Output, numbers: Sequence[int]) -> None:
    """Discard what another executor has written of shards that it did not finish."""
    again = [task for task in tasks if task.shard in set(numbers) and task.id in output.done]
    if again:
        names = {plan.shards[task.shard].name for task in again}
        output.discard(names, [task.id for task in again])


def _run(ray: Any, pieces: Iterator[tuple[int, Piece]]) -> Iterator[tuple[int, Written]]:
    """Yield what the workers have written, in any order; ends the others when one fails."""
    limited, most = IO in ray.cluster_resources(), count_waiting(ray)
    running: dict[Any, int] = {}
    write = ray.remote(_write)
    try:
        for number, piece in pieces:
            options = _choose_options(ray, piece, limited=limited)
            running[write.options(**options).remote(piece)] = number
            if len(running) >= most:
                yield from _take_finished(ray, running)
        while running:
            yield from _take_finished(ray, running)
    finally:
        for task in running:
            ray.cancel(task)


def _take_finished(ray: Any, running: dict[Any, int]) -> Iterator[tuple[int, Written]]:
    finished, _ = ray.wait(list(running))
    for task in finished:
        number = running.pop(task)
        try:
            answer = ray.get(task)
        except ray.exceptions.RayError as error:
            hint = "the same command goes on; Ray's logs (/tmp/ray on the node) say more"
            message = f"shard {number + 1} could not be written on the cluster: {type(error).__name__}"
            raise StorageError.of(message, hint) from error
        if isinstance(answer, StackerError):
            raise answer
        yield number, answer


def _choose_options(ray: Any, piece: Piece, *, limited: bool) -> dict[str, Any]:
    """What Ray has to reserve for a piece; SpecError if no node has so much."""
    memory = predict_peak(piece.plan.steps, piece.workers)
    needed = list_needed(piece.workers, piece.device, memory=memory, **({IO: 1} if limited else {}))
    return choose_options(needed, ray.nodes(), "a shard", "use fewer --workers")


def _write(piece: Piece) -> Written | StackerError:
    """Write a piece on a worker, unless it has been written; errors that a user can cause are returned."""
    for name in CACHE_VARIABLES:
        os.environ.pop(name, None)
    os.environ.update(piece.cache)
    try:
        part, report = _find_or_drop(piece), None
        if part is None:
            report = _write_locked(piece)
            part = find_finished(piece.target, piece.plan)
    except StackerError as error:
        return error
    if part is None:
        return StorageError.of("this part is gone", "", Mark(str(piece.target)))
    return Written(part, report)


def _find_or_drop(piece: Piece) -> FinishedPart | None:
    """The part if an earlier run has written it; one that is damaged or of another plan is deleted."""
    try:
        return find_finished(piece.target, piece.plan)
    except (StorageError, VerifyError):
        drop_folder(piece.target)
        return None


def _write_locked(piece: Piece) -> Report | None:
    """Write a piece; if another process is writing it, wait until that one has finished it or is gone."""
    write = partial(_execute, piece)
    deadline = time.monotonic() + _LOCKED
    while not exists(piece.target):
        try:
            return write_part(piece.plan, {"name": piece.plan.name}, piece.target, write, restart=True)[0]
        except LockedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
    return None


def _execute(piece: Piece, output: Output) -> Report:
    return local.execute(
        piece.plan,
        piece.tasks,
        output,
        workers=piece.workers,
        max_memory=piece.max_memory,
        device=piece.device,
    )


def _adopt(plan: Plan, number: int, written: Written, output: Output) -> None:
    """Move a finished shard into the output, and list its tasks under the ids that they have in the whole plan."""
    shard, part = plan.shards[number], written.part
    done = {f"{number}@{task.partition('@')[2]}": digest for task, digest in part.done.items()}
    output.adopt(part.folder / shard.name, shard, done, part.donors)
    shutil.rmtree(part.folder, ignore_errors=True)
