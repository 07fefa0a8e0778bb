"""A plan as an executor's tasks: runs of bytes to move, tensors to compute, stretches that stay zero.

Every task owns some bytes of one output file, so tasks may be done in any order, by any number of hands. Where the
donors' bytes lie is in the tasks; an executor needs nothing else of the donors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from stacker.core.donor import Donor, DonorFile, all_donors
from stacker.core.expression import Cast, Copy, Expression, Scale, is_zero, needed
from stacker.core.plan import Plan, Step
from stacker.errors import DonorError, Problem, raise_problems
from stacker.tensors import Dtype, TensorRef

MOST = 256 * 2**20
"""Bytes of the longest run: small enough to share the work and to stop in time, large enough for few calls."""


@dataclass(frozen=True, slots=True)
class Place:
    """A donor tensor's bytes: from `offset` on in a file, elements of `dtype`."""

    file: DonorFile
    offset: int
    dtype: Dtype


@dataclass(frozen=True, slots=True)
class Task:
    """Bytes [offset, offset + nbytes) of shard number `shard`."""

    shard: int
    offset: int
    nbytes: int

    @property
    def id(self) -> str:
        """The same in every run of the same plan, and of no other task."""
        return f"{self.shard}@{self.offset}+{self.nbytes}"


@dataclass(frozen=True, slots=True)
class Run(Task):
    """Bytes that lie in the donor's file as they will lie in the shard, there from `source` on."""

    file: DonorFile
    source: int


@dataclass(frozen=True, slots=True)
class Zeros(Task):
    """Bytes that are zero, as those of a new file are."""


@dataclass(frozen=True, slots=True)
class Compute(Task):
    """One tensor that takes arithmetic: rounded once, at the end, to the `dtype` of the output.

    `row` is the length of its last dimension, or 0 where the rows do not matter.
    """

    expression: Expression
    dtype: Dtype
    places: Mapping[TensorRef, Place] = field(repr=False, hash=False)
    row: int = 0

    @property
    def elements(self) -> int:
        return self.nbytes * 8 // self.dtype.bits

    @property
    def wide(self) -> bool:
        """Whether the arithmetic is fp64: a source or the result is. All other arithmetic is fp32."""
        return Dtype.F64 in (self.dtype, *(self.places[ref].dtype for ref in needed(self.expression)))


def tasks_of(plan: Plan, donors: Mapping[str, Donor], most: int = MOST) -> tuple[Task, ...]:
    """All that has to be done for a plan, in the order of its bytes; runs are cut at multiples of `most` bytes.

    DonorError when weights that are needed are not on this machine.
    """
    places = _places(plan, donors)
    steps = sorted(plan.steps, key=lambda step: (step.shard, step.offset))
    tasks = (_task(step, places) for step in steps if step.tensor.nbytes)
    return tuple(part for task in _joined(tasks) for part in _cut(task, most))


def tensors_of(plan: Plan, task: Task) -> list[str]:
    """The names of the tensors that have bytes among the task's, in plan order."""
    end = task.offset + task.nbytes
    return [
        step.tensor.name
        for step in plan.steps
        if step.shard == task.shard and step.offset < end and task.offset < step.offset + step.tensor.nbytes
    ]


def _places(plan: Plan, donors: Mapping[str, Donor]) -> dict[TensorRef, Place]:
    known = all_donors(donors)
    refs = dict.fromkeys(ref for step in plan.steps for ref in needed(step.expression))
    places = {ref: _place(ref, known) for ref in refs}
    raise_problems(_absent(places))
    return {ref: place for ref, place in places.items() if place}


def _place(ref: TensorRef, donors: Mapping[str, Donor]) -> Place | None:
    donor = donors[ref.donor]
    tensor = donor.tensors[ref.name]
    if tensor.extent is None or donor.files[tensor.extent.file].path is None:
        return None
    return Place(donor.files[tensor.extent.file], tensor.extent.offset, tensor.spec.dtype)


def _absent(places: Mapping[TensorRef, Place | None]) -> Iterator[Problem]:
    for name in dict.fromkeys(ref.donor for ref, place in places.items() if place is None):
        message = f"the weights of donor '{name}' are not here: there is only its config"
        yield Problem(message, "give the donor a source that has its weights", blame=DonorError.blame)


def _task(step: Step, places: Mapping[TensorRef, Place]) -> Task:
    tensor = step.tensor
    where = (step.shard, step.offset, tensor.nbytes)
    expression = _settled(step.expression, tensor.dtype)
    if is_zero(expression):
        return Zeros(*where)
    if isinstance(expression, Copy) and places[expression.tensor].dtype is tensor.dtype:
        place = places[expression.tensor]
        return Run(*where, place.file, place.offset)
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
        if isinstance(last, Run) and isinstance(task, Run) and _goes_on(last, task):
            last = Run(last.shard, last.offset, last.nbytes + task.nbytes, last.file, last.source)
            continue
        if last:
            yield last
        last = task
    if last:
        yield last


def _goes_on(run: Run, after: Run) -> bool:
    here = run.shard == after.shard and run.offset + run.nbytes == after.offset
    return here and run.file == after.file and run.source + run.nbytes == after.source


def _cut(task: Task, most: int) -> Iterator[Task]:
    """A run in pieces that end at multiples of `most` in the shard, so that whole blocks stay whole."""
    if not isinstance(task, Run):
        yield task
        return
    begin, end = task.offset, task.offset + task.nbytes
    while begin < end:
        stop = min(end, (begin // most + 1) * most)
        yield Run(task.shard, begin, stop - begin, task.file, task.source + begin - task.offset)
        begin = stop
