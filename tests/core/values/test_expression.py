"""Tables side by side: cut into columns and put together, they are what they were."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacker.core.plan.expression_json import expression_from_json, expression_to_json
from stacker.core.values.columns import concatenate, take_columns
from stacker.core.values.expression import Blend, Cast, Columns, Concat, Copy, Expression, Scale
from stacker.core.values.expression_parts import find_blends, find_needed_tensors, find_tensor_refs, is_zero
from stacker.tensors import Dtype, TensorRef

A, B = TensorRef("a", "t"), TensorRef("b", "t")
HALF = Blend("linear", (Columns(A, 6, 0, 2), Columns(B, 6, 0, 2)), per_source=((), ()))


def of(ref: TensorRef, *layers: int) -> list[tuple[Expression, int]]:
    """Parts of a table of three layers, two columns each."""
    return [(take_columns(Copy(ref), 6, 2 * layer, 2), 2) for layer in layers]


def test_all_parts_are_the_table() -> None:
    """A table put together again is moved as it lies."""
    assert concatenate(of(A, 0, 1, 2)) == Copy(A)


def test_neighbours_are_one_run() -> None:
    """Columns that go on in the same tensor are not kept apart."""
    found = concatenate([*of(A, 0, 1), *of(A, 1, 2), *of(B, 2)])
    assert found == Concat((Columns(A, 6, 0, 4), Columns(A, 6, 2, 4), Columns(B, 6, 4, 2)), (4, 4, 2))


@given(st.lists(st.tuples(st.sampled_from([A, B]), st.integers(0, 2)), min_size=1, max_size=6))
def test_a_stack_of_stacks(picks: list[tuple[TensorRef, int]]) -> None:
    """Each part of tables that were put together is the part that went in."""
    parts = [of(ref, layer)[0] for ref, layer in picks]
    whole = concatenate(parts)
    again = [take_columns(whole, 2 * len(picks), 2 * place, 2) for place in range(len(picks))]
    if len(picks) != 3 or (whole != Copy(A) and whole != Copy(B)):
        assert again == [part for part, _ in parts]


def test_parts_that_are_computed_stay_whole() -> None:
    """What is scaled, cast or blended is found again as it is."""
    parts: list[tuple[Expression, int]] = [(Scale(Columns(A, 6, 0, 2), 0.5), 2), (Cast(HALF, Dtype.F16), 2), *of(A, 2)]
    whole = concatenate(parts)
    assert [take_columns(whole, 6, start, 2) for start in (0, 2, 4)] == [part for part, _ in parts]
    assert take_columns(Cast(Copy(A), Dtype.F16), 6, 2, 2) == Cast(Columns(A, 6, 2, 2), Dtype.F16)


@pytest.mark.parametrize("expression", [HALF, Concat((HALF, HALF), (2, 2))], ids=["a blend", "across parts"])
def test_columns_that_cannot_be_told(expression: Expression) -> None:
    """Columns of what is computed as a whole are not made up."""
    with pytest.raises(ValueError, match="cannot be separated"):
        take_columns(expression, 4, 1, 2)


def test_what_is_read() -> None:
    """Leaves, blends and zeros are those of the parts."""
    table = Concat((HALF, Scale(Columns(B, 6, 2, 2), 0.0)), (2, 2))
    assert (list(find_tensor_refs(table)), list(find_needed_tensors(table))) == ([A, B, B], [A, B])
    assert list(find_blends(table)) == [HALF]
    assert not is_zero(table)
    assert is_zero(Concat((Scale(HALF, 0.0),), (2,)))


def test_a_factor_with_an_offset_is_not_zero() -> None:
    """A norm that counts from 1 is -1 where its factor is 0."""
    assert not is_zero(Scale(Copy(A), 0.0, 1.0))
    assert not is_zero(Scale(Scale(Copy(A), 0.0), 2.0, 1.0))


def test_as_json() -> None:
    """A plan on the disk says the same."""
    table = Concat((HALF, Columns(A, 6, 0, 4), Scale(Copy(A), 2.0, 1.0), Scale(Copy(A), 2.0)), (2, 4, 6, 6))
    assert expression_from_json(json.loads(json.dumps(expression_to_json(table)))) == table
