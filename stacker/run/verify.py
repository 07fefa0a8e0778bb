"""Verifies an output: compares config.json, the index and every byte of every shard with what the plan says.

Copied tensors are compared with the donors' files, and computed tensors are computed again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from stacker.core.plan.plan import Plan, Shard
from stacker.core.plan.task_making import make_tasks
from stacker.core.plan.tasks import Compute, Task
from stacker.core.values.donor import Donor
from stacker.errors import Problem
from stacker.io.ranges.read_ahead import BLOCK_BYTES
from stacker.progress import Watch, ignore_watch
from stacker.run.comparison import CHUNK, Comparison, compare_copied, open_comparison
from stacker.run.compute.evaluation import begin_evaluation
from stacker.run.compute.rounds import WorkerScratch, compute_rounds
from stacker.run.damage import Damage, check_contents, check_shard, check_size, make_file_problem
from stacker.run.work.schedule import Job
from stacker.run.work.workers import count_workers

_PART = 32 * CHUNK
"""The most copied bytes that one job compares."""


def compare(
    folder: Path, plan: Plan, donors: Mapping[str, Donor], watch: Watch = ignore_watch, *, workers: int | None = None
) -> Iterator[Problem]:
    """Yield a problem for each file of the output that differs from the plan, and for each damaged tensor.

    `watch` is called with the number of bytes compared so far and the total number of bytes. DonorError if a donor is
    missing, was changed, or cannot be read.
    """
    yield from check_contents(folder, plan)
    streamed = any(file.address for donor in donors.values() for file in donor.files)
    tasks = make_tasks(plan, donors, BLOCK_BYTES if streamed else _PART)  # blocks are read ahead
    damage = Damage(plan)
    with open_comparison(folder, plan, damage.compare, tasks) as comparison:
        present = set()
        for number, shard in enumerate(plan.shards):
            problem = check_size(comparison.paths[number], shard)
            if problem is None:
                present.add(number)
                problem = _check_header(comparison, number, shard)
            if problem:
                yield problem
        found = [task for task in tasks if task.shard in present]
        scratch = WorkerScratch([task for task in found if isinstance(task, Compute)])
        comparison.run(found, partial(_check, scratch), watch, workers or count_workers())
    yield from damage.problems(comparison.paths)


def check_structure(folder: Path, plan: Plan) -> Iterator[Problem]:
    """Yield a problem for each file of the output that is missing or has another size or header than planned."""
    yield from check_contents(folder, plan)
    problems = (check_shard(folder / shard.name, shard) for shard in plan.shards)
    yield from (problem for problem in problems if problem)


def _check_header(comparison: Comparison, number: int, shard: Shard) -> Problem | None:
    path = comparison.paths[number]
    same = comparison.has_header(number, shard)
    return None if same else make_file_problem(path, "the header of this shard is not as planned", "build it again")


def _check(scratch: WorkerScratch, task: Task, comparison: Comparison) -> Iterator[Sequence[Job]]:
    if not isinstance(task, Compute):
        yield from compare_copied(task, comparison)
        return
    evaluation = begin_evaluation(task, comparison.sources)
    yield from compute_rounds(evaluation, scratch, partial(_compare_computed, task, comparison))


def _compare_computed(compute: Compute, comparison: Comparison, begin: int, expected: memoryview) -> None:
    for start, offset, nbytes in compute.spans(begin, len(expected)):
        comparison.compare(compute.shard, offset, expected[start - begin : start - begin + nbytes])
