"""Turns a plan into tasks: adjacent copies are joined into long runs, and tensors are computed only where needed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from stacker.core.plan.layout import group_runs
from stacker.core.plan.plan import Plan, Step
from stacker.core.plan.tasks import ColumnSource, Compute, CopyColumns, CopyRun, Task, TensorBytes, Zeros
from stacker.core.values.donor import Donor, collect_donors
from stacker.core.values.expression import Cast, Columns, Concat, Copy, Expression, Scale
from stacker.core.values.expression_parts import find_needed_tensors, is_zero
from stacker.errors import DonorError, Problem, raise_problems
from stacker.tensors import Dtype, TensorRef

LONGEST_COPY = 256 * 2**20
"""The most bytes of one copy task: few enough to share work and to stop soon, enough to need few system calls."""
Places = Mapping[TensorRef, TensorBytes]


def make_tasks(plan: Plan, donors: Mapping[str, Donor], longest: int = LONGEST_COPY) -> tuple[Task, ...]:
    """All tasks of a plan, sorted by shard and offset.

    Copies are cut at shard offsets that are multiples of `longest` bytes. Raises DonorError if weights that have to be
    read are neither on this machine nor streamed.
    """
    places = locate_tensors(plan.steps, donors)
    steps = [replace(step, expression=simplify(step.expression, step.tensor.dtype)) for step in plan.steps]
    filled = sorted((step for step in steps if step.tensor.nbytes), key=lambda step: (step.shard, step.offset))
    tasks: list[Task] = []
    for run in group_runs(filled, lambda step: _copy_source(step, places)):
        tasks += _copy_run(run, places) if _copy_source(run[0], places) else _step_tasks(run[0], places)
    return tuple(part for task in tasks for part in _cut(task, longest))


def make_step_tasks(step: Step, places: Places) -> tuple[Task, ...]:
    """The tasks of one step alone, with its shard and offset; a step without elements has none.

    `places` says where the donor tensors are stored that the step reads.
    """
    step = replace(step, expression=simplify(step.expression, step.tensor.dtype))
    if not step.tensor.nbytes:
        return ()
    return tuple(_copy_run([step], places) if _copy_source(step, places) else _step_tasks(step, places))


def find_tensors(plan: Plan, task: Task) -> list[str]:
    """The names of the output tensors that a task writes, as a whole or in part, in plan order."""
    end = task.offset + task.nbytes
    return [
        step.tensor.name
        for step in plan.steps
        if step.shard == task.shard and step.offset < end and task.offset < step.offset + step.tensor.nbytes
    ]


def locate_tensors(steps: Iterable[Step], donors: Mapping[str, Donor]) -> dict[TensorRef, TensorBytes]:
    """Where every donor tensor that the steps read is stored.

    Raises DonorError if weights are neither on this machine nor streamed; the error names the donors.
    """
    known = collect_donors(donors)
    refs = dict.fromkeys(ref for step in steps for ref in find_needed_tensors(step.expression))
    places = {ref: _locate(ref, known) for ref in refs}
    raise_problems(_check_present(places))
    return {ref: place for ref, place in places.items() if place}


def _locate(ref: TensorRef, donors: Mapping[str, Donor]) -> TensorBytes | None:
    donor = donors[ref.donor]
    tensor = donor.find_stored(ref.name)
    if tensor.extent is None or not donor.files[tensor.extent.file].place:
        return None
    return TensorBytes(donor.files[tensor.extent.file], tensor.extent.offset, tensor.spec.dtype, tensor.extent.nbytes)


def _check_present(places: Mapping[TensorRef, TensorBytes | None]) -> Iterator[Problem]:
    for name in dict.fromkeys(ref.donor for ref, place in places.items() if place is None):
        message = f"the weights of donor '{name}' are not here: there is only its config"
        yield Problem(message, "give the donor a source that has its weights", blame=DonorError.blame)


def simplify(expression: Expression, dtype: Dtype) -> Expression:
    """Remove outermost casts to `dtype`, the output tensor's type, and factors of 1: they do not change the result."""
    if (isinstance(expression, Cast) and expression.dtype == dtype) or (
        isinstance(expression, Scale) and expression.factor == 1.0
    ):
        return simplify(expression.of, dtype)
    return expression


def _copy_source(step: Step, places: Places) -> tuple[object, int, int] | None:
    """The source of a step that only copies a tensor; None for any other step.

    The source is ((shard number, donor file), byte offset in the donor file, number of bytes).
    """
    if not isinstance(step.expression, Copy):
        return None
    place = places[step.expression.tensor]
    if place.dtype != step.tensor.dtype:
        return None
    return (step.shard, place.file), place.offset, step.tensor.nbytes


def _copy_run(run: Sequence[Step], places: Places) -> Iterator[Task]:
    """Yield one task for the steps of `run`, whose bytes follow each other in the donor's file and in the shard."""
    first = run[0]
    assert isinstance(first.expression, Copy)
    place = places[first.expression.tensor]
    nbytes = sum(step.tensor.nbytes for step in run)
    yield CopyRun(first.shard, first.offset, nbytes, place.file, place.offset)


def _step_tasks(step: Step, places: Places) -> Iterator[Task]:
    """Yield the tasks of a step whose tensor is not copied as a whole."""
    tensor = step.tensor
    if is_zero(step.expression):
        yield Zeros(step.shard, step.offset, tensor.nbytes)
    elif isinstance(step.expression, Concat):
        yield from _concat_tasks(step, step.expression, places)
    else:
        where = step.shard, step.offset, tensor.nbytes
        yield Compute(*where, step.expression, tensor.dtype, places, tensor.row)


def _concat_tasks(step: Step, concat: Concat, places: Places) -> Iterator[Task]:
    """Yield a task for each part that has to be computed, then one task that copies the columns of all other parts."""
    dtype = step.tensor.dtype
    row = sum(concat.widths)
    rows = step.tensor.elements // row
    columns: list[ColumnSource] = []
    for first, width, part in concat.parts():
        simple = simplify(part, dtype)
        to, nbytes = dtype.nbytes(first), dtype.nbytes(width)
        source = _column_source(simple, to, nbytes, dtype, places)
        if source:
            columns.append(source)
        else:
            shape = (step.tensor.row, 0) if rows == 1 else (width, dtype.nbytes(row))
            yield Compute(step.shard, step.offset + to, nbytes * rows, simple, dtype, places, *shape)
    if columns:
        yield _copy_columns(step, columns, dtype.nbytes(row), rows)


def _column_source(expression: Expression, to: int, nbytes: int, dtype: Dtype, places: Places) -> ColumnSource | None:
    """The source of donor columns, or of zeros, that go to byte `to` of every output row.

    Returns None if the columns have to be computed.
    """
    if is_zero(expression):
        return ColumnSource(to, nbytes)
    if not isinstance(expression, Copy | Columns) or places[expression.tensor].dtype != dtype:
        return None
    place = places[expression.tensor]
    if isinstance(expression, Copy):
        return ColumnSource(to, nbytes, place.file, place.offset, nbytes)
    begin, stride = dtype.nbytes(expression.start), dtype.nbytes(expression.width)
    return ColumnSource(to, nbytes, place.file, place.offset + begin, stride)


def _copy_columns(step: Step, columns: Sequence[ColumnSource], row: int, rows: int) -> CopyColumns:
    first = columns[0].to
    moved = tuple(replace(column, to=column.to - first) for column in columns)
    nbytes = rows * sum(column.nbytes for column in columns)
    return CopyColumns(step.shard, step.offset + first, nbytes, row, rows, moved)


def _cut(task: Task, longest: int) -> Iterator[Task]:
    """Cut a copy task at multiples of `longest` in the shard, so that disk blocks stay whole.

    Tasks that do not copy are yielded unchanged.
    """
    if isinstance(task, CopyColumns):
        yield from _cut_columns(task, longest)
    elif isinstance(task, CopyRun):
        begin, end = task.offset, task.offset + task.nbytes
        while begin < end:
            stop = min(end, (begin // longest + 1) * longest)
            yield CopyRun(task.shard, begin, stop - begin, task.file, task.source + begin - task.offset)
            begin = stop
    else:
        yield task


def _cut_columns(task: CopyColumns, longest: int) -> Iterator[Task]:
    """Divide a CopyColumns task into tasks for fewer rows.

    A task for a single row is divided into plain copies, one for each range of columns.
    """
    if task.rows == 1:
        for column in task.columns:
            where = (task.shard, task.offset + column.to, column.nbytes)
            yield from _cut(CopyRun(*where, column.file, column.source) if column.file else Zeros(*where), longest)
        return
    row_bytes = task.nbytes // task.rows
    step = max(longest // task.row, 1)
    for first in range(0, task.rows, step):
        rows = min(step, task.rows - first)
        columns = tuple(replace(column, source=column.source + first * column.stride) for column in task.columns)
        offset = task.offset + first * task.row
        yield CopyColumns(task.shard, offset, rows * row_bytes, task.row, rows, columns)
