"""Properties that every op has."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from stacker.ops.shared.op import Base
from stacker.ops.table import OPS
from tests.ops.any_op import parameters_of
from tests.ops.blending import blend
from tests.ops.test_spherical import tensors

REQUIRED: dict[str, dict[str, Any]] = {"slerp": {"t": 0.3}, "nearswap": {"t": 0.1}}
SETTLED = [name for name, op in OPS.items() if op.parameter("seed") is None]


def _made(op: str, sources: list[torch.Tensor], base: torch.Tensor, **more: Any) -> torch.Tensor:
    based = OPS[op].base is not Base.NONE
    return blend(op, sources[: OPS[op].arity[1]], base=base if based else None, **more)


@given(seed=st.integers(0, 50))
@pytest.mark.parametrize("op", OPS)
def test_equal_donors_give_themselves(op: str, seed: int) -> None:
    """If all sources and the base are equal, so is the result."""
    (x,) = tensors(1, seed)
    torch.testing.assert_close(_made(op, [x, x], x, **REQUIRED.get(op, {})), x, rtol=1e-5, atol=1e-6)


@given(seed=st.integers(0, 50))
@pytest.mark.parametrize("op", SETTLED)
def test_rows_may_change_places(op: str, seed: int) -> None:
    """Reordering the rows of all sources reorders the rows of the result, apart from the rounding of sums."""
    *sources, base = tensors(3, seed)
    order = torch.randperm(len(base), generator=torch.Generator().manual_seed(seed))
    own, each = parameters_of(op)
    whole = _made(op, sources, base, each=each, **own)
    moved = _made(op, [source[order] for source in sources], base[order], each=each, **own)
    torch.testing.assert_close(moved, whole[order], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("op", OPS)
def test_sources_stay_finite(op: str) -> None:
    """Sources of zeros over a base of zeros give zeros, not NaN."""
    zeros = torch.zeros(12, 20)
    own, each = parameters_of(op)
    assert _made(op, [zeros, zeros.clone()], zeros.clone(), each=each, **own).equal(zeros)
