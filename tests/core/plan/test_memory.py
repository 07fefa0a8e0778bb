"""Memory that a build is said to need, and how many workers fit into what it may have."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from stacker.core.plan.memory import MB, live_tiles, peak_bytes, work_bytes, workers_within
from stacker.core.plan.plan import Step
from stacker.core.values.expression import Blend, Cast, Copy, Expression, Scale
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
        (_blend(X, X, X), 3),
        (_blend(_blend(X, X), X), 2),
        (_blend(X, _blend(X, X)), 3),
        (_blend(_blend(X, X, X), _blend(X, X)), 3),
        (Blend("linear", (X, X), base=X), 3),
    ],
    ids=["copy", "scale", "blend", "nested first", "nested last", "nested both", "base"],
)
def test_tiles_held_at_once(expression: Expression, tiles: int) -> None:
    """A blend holds all its sources; what an earlier one took on the way is free again."""
    assert live_tiles(expression) == tiles


def test_moves_take_no_arithmetic() -> None:
    """Copies and zeros need neither torch nor tiles, however large they are."""
    moves = [_step(X), _step(Scale(X, 0.0))]
    assert [work_bytes(step) for step in moves] == [0, 0]
    assert peak_bytes(moves, 8) < 60 * MB


def test_memory_does_not_grow_with_the_tensors() -> None:
    """A tensor a thousand times larger takes the same."""
    blend = _blend(X, X, op="slerp")
    assert peak_bytes([_step(blend, 10**7)], 2) == peak_bytes([_step(blend, 10**10)], 2)


@given(workers=st.integers(1, 64), spare=st.integers(0, 10**9))
def test_as_many_workers_as_fit(workers: int, spare: int) -> None:
    """No more than asked for, within the limit, and one more would be too many."""
    steps = [_step(_blend(*[X] * 10))]
    most = peak_bytes(steps, 1) + spare
    fit = workers_within(steps, workers, most)
    assert 1 <= fit <= workers
    assert peak_bytes(steps, fit) <= most
    assert fit == workers or peak_bytes(steps, fit + 1) > most


def test_without_a_limit_all_work() -> None:
    """No limit is no limit."""
    assert workers_within([_step(_blend(X, X))], 5, None) == 5


def test_too_little_says_how_much_would_do() -> None:
    """The limit that the error asks for is one that works."""
    steps = [_step(_blend(X, X))]
    with pytest.raises(SpecError, match=r"100 MB of memory are too few") as caught:
        workers_within(steps, 4, 100 * MB)
    asked = int(str(caught.value).rsplit(" ", 1)[1].removesuffix("MB"))
    assert workers_within(steps, 4, asked * MB) == 1
