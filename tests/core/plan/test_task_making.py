"""A plan as tasks: what moves together, what is computed, and that every byte is some task's, once."""

from __future__ import annotations

from dataclasses import replace

import hypothesis.strategies as st
import pytest
from hypothesis import given

from stacker.arch.files.architecture import Architecture, Part
from stacker.arch.files.formula import parse_formula
from stacker.core.plan.plan import Costs, Plan, Shard, Step
from stacker.core.plan.shard_layout import Layout
from stacker.core.plan.task_making import find_tensors, make_tasks
from stacker.core.plan.tasks import Compute, CopyRun, Task, Zeros
from stacker.core.values.donor import Donor, DonorFile, DonorTensor, Extent
from stacker.core.values.expression import Blend, Cast, Copy, Expression, Scale
from stacker.errors import DonorError
from stacker.tensors import Dtype, TensorRef, TensorSpec

PLAIN = Architecture(name="plain", model_types=(), depth=parse_formula("layers"), prefix="layers.{i}.")
HEADER = 64


def _donor(name: str, sizes: list[int], files: int = 1, dtype: Dtype = Dtype.BF16) -> Donor:
    """Tensors t0, t1, … of so many elements, one after the other, in each of the files all of them anew (t0.1, …)."""
    tensors = {}
    for file in range(files):
        offset = HEADER
        for number, size in enumerate(sizes):
            spec = TensorSpec(f"t{number}" + (f".{file}" if file else ""), dtype, (size,))
            tensors[spec.name] = DonorTensor(spec, Part.LAYER, "any", extent=Extent(file, offset, spec.nbytes))
            offset += spec.nbytes
    found = tuple(DonorFile(f"{file}", 1, "", f"{name}/{file}") for file in range(files))
    return Donor(name, name, {}, PLAIN, 1, tensors, found)


def _plan(*shards: list[tuple[Dtype, int, Expression]]) -> Plan:
    steps: list[Step] = []
    for number, contents in enumerate(shards):
        offset = HEADER
        for dtype, size, expression in contents:
            spec = TensorSpec(f"o{len(steps)}", dtype, (size,))
            steps.append(Step(spec, number, offset, expression))
            offset += spec.nbytes
    files = tuple(Shard(str(number), b" " * HEADER, 0) for number in range(len(shards)))
    return Plan("", "", {}, tuple(steps), files, Layout(), (), Costs(0, 0, 0, 0))


def _copy(name: str, donor: str = "a") -> tuple[Dtype, int, Expression]:
    return Dtype.BF16, 10, Copy(TensorRef(donor, name))


DONORS = {"a": _donor("a", [10] * 4, files=2), "b": _donor("b", [10] * 4)}


def _ranges(tasks: tuple[Task, ...]) -> list[tuple[int, int, int]]:
    return [(task.shard, task.offset, task.nbytes) for task in tasks]


def test_neighbours_in_both_files_are_one_run() -> None:
    """Tensors that follow each other in donor and shard move at once."""
    (run,) = make_tasks(_plan([_copy("t1"), _copy("t2"), _copy("t3")]), DONORS)
    assert run == CopyRun(0, HEADER, 60, DONORS["a"].files[0], HEADER + 20)


@pytest.mark.parametrize(
    "plan",
    [
        _plan([_copy("t0"), _copy("t2")]),
        _plan([_copy("t1"), _copy("t0")]),
        _plan([_copy("t0"), _copy("t1", "b")]),
        _plan([_copy("t0"), _copy("t1.1")]),
        _plan([_copy("t0")], [_copy("t1")]),
        _plan([_copy("t0"), _copy("t0")]),
    ],
    ids=["gap", "backwards", "another donor", "another file", "another shard", "twice"],
)
def test_what_does_not_follow_is_another_run(plan: Plan) -> None:
    """A gap, a step back, another donor, file or shard: two runs."""
    assert [type(task) for task in make_tasks(plan, DONORS)] == [CopyRun, CopyRun]


def test_one_file_under_two_names_is_one_file() -> None:
    """A donor that the spec names twice gives runs across both names."""
    same = {"a": DONORS["a"], "again": replace(DONORS["a"], name="again")}
    assert len(make_tasks(_plan([_copy("t0"), _copy("t1", "again")]), same)) == 1


@given(most=st.integers(1, 200))
def test_a_long_run_is_cut_at_multiples(most: int) -> None:
    """Pieces end at multiples of `most` in the shard, and together are the run."""
    tasks = make_tasks(_plan([_copy("t0"), _copy("t1"), _copy("t2"), _copy("t3")]), DONORS, most)
    assert all((task.offset + task.nbytes) % most == 0 for task in tasks[:-1])
    assert all(task.nbytes <= most for task in tasks)
    assert all(isinstance(task, CopyRun) and task.source == task.offset for task in tasks)
    assert sum(task.nbytes for task in tasks) == 80


def test_ids_tell_tasks_apart_and_stay() -> None:
    """No two tasks have one id, and the same plan gives the same ids."""
    plan = _plan([_copy("t0"), _copy("t2"), _copy("t1")], [_copy("t0"), _copy("t2")])
    ids = [task.id for task in make_tasks(plan, DONORS, 7)]
    assert len(set(ids)) == len(ids)
    assert ids == [task.id for task in make_tasks(plan, DONORS, 7)]


REF = Copy(TensorRef("a", "t0"))


@pytest.mark.parametrize(
    ("dtype", "expression", "kind"),
    [
        (Dtype.BF16, REF, CopyRun),
        (Dtype.BF16, Cast(REF, Dtype.BF16), CopyRun),
        (Dtype.BF16, Scale(REF, 1.0), CopyRun),
        (Dtype.BF16, Cast(Scale(REF, 1.0), Dtype.BF16), CopyRun),
        (Dtype.F16, Cast(REF, Dtype.F16), Compute),
        (Dtype.BF16, Cast(Cast(REF, Dtype.F16), Dtype.BF16), Compute),
        (Dtype.BF16, Scale(REF, 0.5), Compute),
        (Dtype.BF16, Scale(REF, 0.0), Zeros),
        (Dtype.F16, Cast(Scale(Scale(REF, 0.0), 2.0), Dtype.F16), Zeros),
        (Dtype.BF16, Blend("linear", (REF, REF)), Compute),
    ],
    ids=["copy", "own type", "times 1", "both", "cast", "there and back", "scale", "zero", "zero inside", "blend"],
)
def test_what_takes_arithmetic_is_computed(dtype: Dtype, expression: Expression, kind: type[Task]) -> None:
    """Bytes move wherever nothing changes them, and what is zero is not even read."""
    (task,) = make_tasks(_plan([(dtype, 10, expression)]), DONORS)
    assert type(task) is kind
    assert task.nbytes == 20


@pytest.mark.parametrize(
    ("sources", "output", "wide"),
    [("a", Dtype.BF16, False), ("d", Dtype.BF16, True), ("a", Dtype.F64, True)],
    ids=["narrow", "fp64 source", "fp64 result"],
)
def test_arithmetic_is_fp64_only_where_fp64_is(sources: str, output: Dtype, wide: bool) -> None:
    """A source or a result of fp64 makes the arithmetic fp64."""
    donors = {**DONORS, "d": _donor("d", [10], dtype=Dtype.F64)}
    expression = Scale(Copy(TensorRef(sources, "t0")), 0.5)
    (task,) = make_tasks(_plan([(output, 10, expression)]), donors)
    assert isinstance(task, Compute)
    assert task.wide is wide


def test_empty_tensors_are_no_task() -> None:
    """Nothing has to be done for a tensor without elements."""
    donors = {"a": _donor("a", [0, 10])}
    tasks = make_tasks(_plan([(Dtype.BF16, 0, Copy(TensorRef("a", "t0"))), _copy("t1")]), donors)
    assert _ranges(tasks) == [(0, HEADER, 20)]


def test_tasks_are_in_the_order_of_their_bytes() -> None:
    """Whatever the order of the steps, shards are written from their start."""
    plan = _plan([_copy("t0"), _copy("t2")], [_copy("t1")])
    turned = replace(plan, steps=plan.steps[::-1])
    assert make_tasks(turned, DONORS) == make_tasks(plan, DONORS)


def test_nested_donors_are_found() -> None:
    """A reference may name a donor inside a donor."""
    outer = Donor("outer", "outer", {}, PLAIN, 1, {}, nested={"outer/a": replace(DONORS["a"], name="outer/a")})
    (task,) = make_tasks(_plan([_copy("t0", "outer/a")]), {"outer": outer})
    assert isinstance(task, CopyRun)


def test_all_donors_without_weights_are_named() -> None:
    """Every donor of which only the config is here is a problem, all of them at once."""
    bare = {
        name: replace(donor, files=tuple(replace(file, path=None) for file in donor.files))
        for name, donor in DONORS.items()
    }
    with pytest.raises(DonorError) as caught:
        make_tasks(_plan([_copy("t0"), _copy("t0", "b")]), bare)
    assert ["'a'" in str(caught.value), "'b'" in str(caught.value), len(caught.value.problems)] == [True, True, 2]


def test_weights_that_do_not_matter_need_not_be_here() -> None:
    """What is scaled by 0 is not asked for."""
    bare = {"a": replace(DONORS["a"], files=())}
    (task,) = make_tasks(_plan([(Dtype.BF16, 10, Scale(REF, 0.0))]), bare)
    assert isinstance(task, Zeros)


def test_the_tensors_of_a_task() -> None:
    """Those that have a byte in it, whole or in part."""
    plan = _plan([_copy("t0"), _copy("t1"), _copy("t2")])
    assert [find_tensors(plan, task) for task in make_tasks(plan, DONORS, 50)] == [["o0", "o1"], ["o1", "o2"]]
