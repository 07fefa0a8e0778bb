"""How often the tensors of an expression are read."""

from __future__ import annotations

from collections import Counter

import pytest

from stacker.core.plan.kernels import kernels_of, readings
from stacker.core.values.expression import Blend, Copy, Expression, Scale, needed_tensors
from stacker.tensors import TensorRef

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
    assert Counter(ref.name for each in readings(expression) for ref in needed_tensors(each)) == counts


def test_inner_blends_come_first() -> None:
    """A blend's statistics need those of the blends in it."""
    inner = _slerp(A, B)
    outer = _slerp(inner, A)
    assert list(kernels_of(outer)) == [inner, outer]
