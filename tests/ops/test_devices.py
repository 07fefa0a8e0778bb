"""Every op gives the same results on the numpy and the torch backend, apart from rounding."""

from __future__ import annotations

import pytest
import torch

from stacker.arithmetic.numpy_backend import NUMPY
from stacker.ops.shared.op import Base
from stacker.ops.table import OPS
from tests.ops.any_op import parameters_of, reference
from tests.ops.blending import TORCH, blend

SHAPES = [(24, 90), (7, 1025), (77,)]
ROUNDING = {torch.float32: 1e-5, torch.float64: 1e-12}
"""Tolerances for sums that are rounded in another order."""
ITERATED = 1e-10
"""Tolerances for an iterative mean that stops at steps of 1e-12."""


def _tensors(shape: tuple[int, ...], kind: torch.dtype) -> list[torch.Tensor]:
    """Two sources and a base."""
    made = [torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=kind) for seed in range(3)]
    made[1][..., ::3] = made[0][..., ::3]  # magnitudes that are equal
    return made


@pytest.mark.parametrize("kind", ROUNDING, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("op", OPS)
def test_an_op_on_either(op: str, shape: tuple[int, ...], kind: torch.dtype) -> None:
    """Whole and in tiles of rows, both backends agree with each other and with the paper; random draws are equal."""
    own, each = parameters_of(op)
    *sources, base = _tensors(shape, kind)
    given = sources[: OPS[op].arity[1]]
    origin = None if OPS[op].base is Base.NONE else base
    made = [
        blend(op, given, base=origin, each=each, backend=backend, tile=tile, **own)
        for backend in (NUMPY, TORCH)
        for tile in (0, 3 * shape[-1])
    ]
    slack = max(ROUNDING[kind], ITERATED if op == "karcher" else 0.0)
    for one in made:
        assert one.dtype is kind
        torch.testing.assert_close(one, made[0], rtol=slack, atol=slack)
    torch.testing.assert_close(made[0].double(), reference(op, "x", given, base), rtol=1e-5, atol=1e-5)
