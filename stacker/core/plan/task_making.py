"""A plan as an executor's tasks: which bytes can be moved, which must be computed, and in what pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from stacker.core.plan.plan import Plan, Step
from stacker.core.plan.tasks import ColumnSource, Compute, CopyColumns, CopyRun, Task, TensorBytes, Zeros
from stacker.core.values.donor import Donor, all_donors
from stacker.core.values.expression import Cast, Columns, Concat, Copy, Expression, Scale, is_zero, needed
from stacker.errors import DonorError, Problem, raise_problems
from stacker.tensors import Dtype, TensorRef

MOST = 256 * 2**20
"""Bytes of the longest run: small enough to share the work and to stop in time, large enough for few calls."""


def tasks_of(plan: Plan, donors: Mapping[str, Donor], most: int = MOST) -> tuple[Task, ...]:
    """All that has to be done for a plan, in the order of its bytes; runs are cut at multiples of `most` bytes.

    DonorError when weights that are needed are not on this machine.
    """
    places = _places(plan, donors)
    steps = sorted(plan.steps, key=lambda step: (step.shard, step.offset))
    tasks = (task for step in steps if step.tensor.nbytes for task in _tasks(step, places))
    return tuple(part for task in _joined(tasks) for part in _cut(task, most))


def tensors_of(plan: Plan, task: Task) -> list[str]:
    """The names of the tensors that have bytes among the task's, in plan order."""
    end = task.offset + task.nbytes
    return [
        step.tensor.name
        for step in plan.steps
        if step.shard == task.shard and step.offset < end and task.offset < step.offset + step.tensor.nbytes
    ]


def _places(plan: Plan, donors: Mapping[str, Donor]) -> dict[TensorRef, TensorBytes]:
    known = all_donors(donors)
    refs = dict.fromkeys(ref for step in plan.steps for ref in needed(step.expression))
    places = {ref: _place(ref, known) for ref in refs}
    raise_problems(_absent(places))
    return {ref: place for ref, place in places.items() if place}


def _place(ref: TensorRef, donors: Mapping[str, Donor]) -> TensorBytes | None:
    donor = donors[ref.donor]
    tensor = donor.tensors[ref.name]
    if tensor.extent is None or donor.files[tensor.extent.file].path is None:
        return None
    return TensorBytes(donor.files[tensor.extent.file], tensor.extent.offset, tensor.spec.dtype)


def _absent(places: Mapping[TensorRef, TensorBytes | None]) -> Iterator[Problem]:
    for name in dict.fromkeys(ref.donor for ref, place in places.items() if place is None):
        message = f"the weights of donor '{name}' are not here: there is only its config"
        yield Problem(message, "give the donor a source that has its weights", blame=DonorError.blame)


def _tasks(step: Step, places: Mapping[TensorRef, TensorBytes]) -> Iterator[Task]:
    if not isinstance(step.expression, Concat) or is_zero(step.expression):
        yield _task(step, places)
        return
    row = sum(step.expression.widths)
    rows, bits = step.tensor.elements // row, step.tensor.dtype.bits
    strands: list[ColumnSource] = []
    for start, width, part in step.expression.placed():
        settled, to, nbytes = _settled(part, step.tensor.dtype), start * bits // 8, width * bits // 8
        strand = _strand(settled, to, nbytes, step.tensor.dtype, places)
        if strand:
            strands.append(strand)
        else:
            cut = (step.tensor.row, 0) if rows == 1 else (width, row * bits // 8)
            yield Compute(step.shard, step.offset + to, nbytes * rows, settled, step.tensor.dtype, places, *cut)
    if strands:
        yield _weave(step, strands, row * bits // 8, rows)


def _strand(
    expression: Expression, to: int, nbytes: int, dtype: Dtype, places: Mapping[TensorRef, TensorBytes]
) -> ColumnSource | None:
    """Columns that need no arithmetic; None where they do."""
    if is_zero(expression):
        return ColumnSource(to, nbytes)
    match expression:
        case Columns(tensor, width, start, _) if places[tensor].dtype is dtype:
            place = places[tensor]
            return ColumnSource(to, nbytes, place.file, place.offset + start * dtype.bits // 8, width * dtype.bits // 8)
        case Copy(tensor) if places[tensor].dtype is dtype:
            return ColumnSource(to, nbytes, places[tensor].file, places[tensor].offset, nbytes)
    return None


def _weave(step: Step, strands: Sequence[ColumnSource], row: int, rows: int) -> CopyColumns:
    first = strands[0].to
    moved = tuple(replace(strand, to=strand.to - first) for strand in strands)
    return CopyColumns(step.shard, step.offset + first, rows * sum(s.nbytes for s in strands), row, rows, moved)


def _task(step: Step, places: Mapping[TensorRef, TensorBytes]) -> Task:
    tensor = step.tensor
    where = (step.shard, step.offset, tensor.nbytes)
    expression = _settled(step.expression, tensor.dtype)
    if is_zero(expression):
        return Zeros(*where)
    if isinstance(expression, Copy) and places[expression.tensor].dtype is tensor.dtype:
        place = places[expression.tensor]
        return CopyRun(*where, place.file, place.offset)
    return Compute(*where, expression, tensor.dtype, places, tensor.row)


def _settled(expression: Expression, dtype: Dtype) -> Expression:
    """The expression without what changes nothing, given that its result is rounded to `dtype` in any case."""
    match expression:
        case Cast(of, to) if to is dtype:
            return _settled(of, dtype)
        case Scale(of, 1.0):
            return _settled(of, dtype)
        case _:
            return expression


def _joined(tasks: Iterable[Task]) -> Iterator[Task]:
    """Runs that go on in both files become one."""
    last: Task | None = None
    for task in tasks:
        if isinstance(last, CopyRun) and isinstance(task, CopyRun) and _goes_on(last, task):
            last = CopyRun(last.shard, last.offset, last.nbytes + task.nbytes, last.file, last.source)
            continue
        if last:
            yield last
        last = task
    if last:
        yield last


def _goes_on(run: CopyRun, after: CopyRun) -> bool:
    here = run.shard == after.shard and run.offset + run.nbytes == after.offset
    return here and run.file == after.file and run.source + run.nbytes == after.source


def _cut(task: Task, most: int) -> Iterator[Task]:
    """A run in pieces that end at multiples of `most` in the shard, so that whole blocks stay whole."""
    if isinstance(task, CopyColumns):
        yield from _cut_weave(task, most)
        return
    if not isinstance(task, CopyRun):
        yield task
        return
    begin, end = task.offset, task.offset + task.nbytes
    while begin < end:
        stop = min(end, (begin // most + 1) * most)
        yield CopyRun(task.shard, begin, stop - begin, task.file, task.source + begin - task.offset)
        begin = stop


def _cut_weave(weave: CopyColumns, most: int) -> Iterator[Task]:
    """Whole rows as one task; a single row as the runs it is made of."""
    if weave.rows == 1:
        for strand in weave.strands:
            where = (weave.shard, weave.offset + strand.to, strand.nbytes)
            yield from _cut(CopyRun(*where, strand.file, strand.source) if strand.file else Zeros(*where), most)
        return
    each = weave.nbytes // weave.rows
    step = max(most // weave.row, 1)
    for first in range(0, weave.rows, step):
        rows = min(step, weave.rows - first)
        strands = tuple(replace(one, source=one.source + first * one.stride) for one in weave.strands)
        yield CopyColumns(weave.shard, weave.offset + first * weave.row, rows * each, weave.row, rows, strands)
