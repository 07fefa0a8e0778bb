"""Memory that a build is said to need, and how many workers fit into what it may have."""

from __future__ import annotations

from collections import Counter

import hypothesis.strategies as st
import pytest
from hypothesis import given

from stacker.core.plan.costs import MB, count_live_tiles, fit_workers, list_reads, predict_peak, predict_work
from stacker.core.plan.plan import Step
from stacker.core.values.expression import Blend, Cast, Copy, Expression, Scale
from stacker.core.values.expression_parts import find_needed_tensors
from stacker.errors import SpecError
from stacker.tensors import Dtype, TensorRef, TensorSpec

X = Copy(TensorRef("a", "x"))


def _step(expression: Expression, elements: int = 10**9) -> Step:
    return Step(TensorSpec("y", Dtype.BF16, (elements,)), 0, 0, expression)


def _blend(*sources: Expression, op: str = "linear") -> Blend:
    return Blend(op, sources)


@pytest.mark.parametrize(
    ("expression", "tiles"),
    [
        (X, 1),
        (Scale(Cast(X, Dtype.F16), 2.0), 1),
        (Scale(X, 2.0, 1.0), 2),
        (_blend(X, X, X), 3),
        (_blend(_blend(X, X), X), 2),
        (_blend(X, _blend(X, X)), 3),
        (_blend(_blend(X, X, X), _blend(X, X)), 3),
        (Blend("linear", (X, X), base=X), 3),
    ],
    ids=["copy", "scale", "scale with an offset", "blend", "nested first", "nested last", "nested both", "base"],
)
def test_tiles_held_at_once(expression: Expression, tiles: int) -> None:
    """A blend holds all its sources; what an earlier one took on the way is free again."""
    assert count_live_tiles(expression) == tiles


def test_moves_take_no_arithmetic() -> None:
    """Copies and zeros need neither torch nor tiles, however large they are."""
    moves = [_step(X), _step(Scale(X, 0.0))]
    assert [predict_work(step) for step in moves] == [0, 0]
    assert predict_peak(moves, 8) < 60 * MB


def test_memory_does_not_grow_with_the_tensors() -> None:
    """A tensor a thousand times larger takes the same."""
    blend = _blend(X, X, op="slerp")
    assert predict_peak([_step(blend, 10**7)], 2) == predict_peak([_step(blend, 10**10)], 2)


@given(workers=st.integers(1, 64), spare=st.integers(0, 10**9))
def test_as_many_workers_as_fit(workers: int, spare: int) -> None:
    """No more than asked for, within the limit, and one more would be too many."""
    steps = [_step(_blend(*[X] * 10))]
    most = predict_peak(steps, 1) + spare
    fit = fit_workers(steps, workers, most)
    assert 1 <= fit <= workers
    assert predict_peak(steps, fit) <= most
    assert fit == workers or predict_peak(steps, fit + 1) > most


def test_without_a_limit_all_work() -> None:
    """No limit is no limit."""
    assert fit_workers([_step(_blend(X, X))], 5, None) == 5


def test_shared_buffers_count() -> None:
    """What all threads share leaves less for threads, and is in the least that the error names."""
    steps = [_step(_blend(*[X] * 10))]
    most = predict_peak(steps, 8)
    assert fit_workers(steps, 8, most) == 8
    assert 1 <= fit_workers(steps, 8, most, buffers=64 * MB) < 8
    with pytest.raises(SpecError, match="are too few"):
        fit_workers(steps, 1, predict_peak(steps, 1), buffers=64 * MB)


def test_too_little_says_how_much_would_do() -> None:
    """The limit that the error asks for is one that works."""
    steps = [_step(_blend(X, X))]
    with pytest.raises(SpecError, match=r"100 MB of memory are too few") as caught:
        fit_workers(steps, 4, 100 * MB)
    asked = int(str(caught.value).rsplit(" ", 1)[1].removesuffix("MB"))
    assert fit_workers(steps, 4, asked * MB) >= 1


A, B = (Copy(TensorRef("donor", name)) for name in "ab")


def _slerp(one: Expression, other: Expression) -> Blend:
    return Blend("slerp", (one, other), (("t", 0.5),))


@pytest.mark.parametrize(
    ("expression", "counts"),
    [
        (A, {"a": 1}),
        (Scale(A, 0.0), {}),
        (Blend("linear", (A, B, A)), {"a": 2, "b": 1}),
        (_slerp(A, B), {"a": 2, "b": 2}),
        (_slerp(_slerp(A, B), A), {"a": 5, "b": 3}),
        (Blend("linear", (_slerp(A, B), _slerp(A, B))), {"a": 3, "b": 3}),
        (Blend("linear", (A, Scale(_slerp(A, B), 0.0))), {"a": 1}),
    ],
    ids=["copy", "zeros", "linear", "slerp", "slerp of slerp", "twice the same slerp", "a slerp that does not matter"],
)
def test_how_often_tensors_are_read(expression: Expression, counts: dict[str, int]) -> None:
    """Once to make the result, and once for each pass of each blend that holds them; equal blends are measured once."""
    assert Counter(ref.name for each in list_reads(expression) for ref in find_needed_tensors(each)) == counts
