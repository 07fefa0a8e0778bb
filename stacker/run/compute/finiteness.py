"""Finds computed tensors that contain infinities or NaNs, and the donor tensors that these values come from."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from stacker.core.plan.plan import Plan, Step
from stacker.core.plan.tasks import Compute, Task
from stacker.core.values.expression import Columns, Copy, Decoded, Expression, Rows
from stacker.core.values.expression_parts import is_zero
from stacker.errors import Blame, Problem, Severity, StackerError
from stacker.run.compute.evaluation import begin_evaluation
from stacker.run.compute.rounds import WorkerScratch, compute_rounds
from stacker.run.work.sources import OpenFiles
from stacker.tensors import Dtype, TensorRef


class NonFiniteTasks:
    """Collects the ids of the tasks that have computed an infinity or a NaN; any thread may call `check`."""

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._lock = threading.Lock()

    def check(self, task: Task, data: memoryview) -> None:
        """Look for infinities and NaNs in `data`, whole elements of a task; elements that it copies are not judged."""
        if not isinstance(task, Compute):
            return
        from stacker.arithmetic.finiteness import has_non_finite

        if has_non_finite(data, task.dtype):
            with self._lock:
                self._ids.add(task.id)

    def name_tensors(self, plan: Plan, tasks: Iterable[Task]) -> tuple[str, ...]:
        """The names of the output tensors with an infinity or a NaN that one of the tasks has computed."""
        steps = sorted((step for step in plan.steps if step.tensor.nbytes), key=_find_place)
        places = (_find_place(task) for task in tasks if task.id in self._ids)
        found = (steps[bisect_right(steps, place, key=_find_place) - 1] for place in places)
        return tuple(dict.fromkeys(step.tensor.name for step in found))

    def __bool__(self) -> bool:
        return bool(self._ids)


def _find_place(part: Step | Task) -> tuple[int, int]:
    return part.shard, part.offset


def describe_non_finite(steps: Sequence[Step], tasks: Sequence[Task], sources: OpenFiles) -> Problem:
    """Make the warning that the tensors of `steps` contain computed infinities or NaNs.

    The donor tensors that the first one is computed from, by some of `tasks`, are searched for the cause.
    """
    step = steps[0]
    more = f" and {len(steps) - 1} more" if len(steps) > 1 else ""
    message = f"tensor '{step.tensor.name}'{more} got values that are infinite or not a number"
    computes = [task for task in tasks if isinstance(task, Compute) and _is_part(task, step)]
    try:
        causes = list(dict.fromkeys(cause for task in computes for cause in _find_causes(task, sources)))
    except StackerError as error:  # the output is right nevertheless, so the build goes on
        hint = f"the cause is not known, because a donor could not be read again: {error.problems[0].message}"
        return Problem(message, hint, severity=Severity.WARNING, blame=Blame.DONOR)
    if causes:
        listed = " and ".join(f"tensor '{cause.name}' of donor '{cause.donor}'" for cause in causes)
        message = f"{message}; {listed} already {'has' if len(causes) == 1 else 'have'} such values"
        hint = "the donor may be damaged: compare it with its source, or leave out what uses this tensor"
        return Problem(message, hint, severity=Severity.WARNING, blame=Blame.DONOR)
    kind = step.tensor.dtype.torch_name
    message = f"{message}; the donors' values are finite, but the results are not defined or too large for {kind}"
    hint = "choose an output dtype with a greater range, such as bfloat16 or float32, or smaller factors"
    return Problem(message, hint, severity=Severity.WARNING)


def _is_part(task: Task, step: Step) -> bool:
    """Whether a task writes bytes of the step's tensor."""
    return task.shard == step.shard and 0 <= task.offset - step.offset < step.tensor.nbytes


def _find_causes(compute: Compute, sources: OpenFiles) -> Iterator[TensorRef]:
    """Yield the donor tensors that a task reads and that contain infinities or NaNs where it reads them."""
    for leaf, elements in _list_leaves(compute.expression, compute.elements):
        tensor = leaf.of[0].tensor if isinstance(leaf, Decoded) else leaf.tensor
        dtype = Dtype.F64 if compute.places[tensor].dtype is Dtype.F64 else Dtype.F32
        reading = Compute(0, 0, elements * dtype.bits // 8, leaf, dtype, compute.places)
        found = NonFiniteTasks()
        evaluation = begin_evaluation(reading, sources)
        for jobs in compute_rounds(evaluation, WorkerScratch([reading]), partial(_check, found, reading)):
            for job in jobs:
                job()
        if found:
            yield tensor


def _check(found: NonFiniteTasks, compute: Compute, begin: int, data: memoryview) -> None:
    del begin
    found.check(compute, data)


def _list_leaves(expression: Expression, elements: int) -> Iterator[tuple[Copy | Columns | Decoded, int]]:
    """Yield the parts of donor tensors that an expression of `elements` elements reads, each with its elements."""
    if is_zero(expression):
        return
    if isinstance(expression, Copy | Columns | Decoded):
        yield expression, elements
        return
    for number, child in enumerate(expression.children()):
        yield from _list_leaves(child, _count_needed(expression, number) if isinstance(expression, Rows) else elements)


def _count_needed(rows: Rows, source: int) -> int:
    """The number of elements of a source up to the last row that is taken from it."""
    return max((run.start + run.count for run in rows.runs if run.source == source), default=0) * rows.width
