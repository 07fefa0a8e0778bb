"""Ops on the sphere (nuslerp, multislerp, karcher) and model_stock, against their papers in fp64."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from tests.ops import references
from tests.ops.blending import blend

WAYS: dict[str, dict[str, Any]] = {
    "whole": {"nuslerp_flatten": True},
    "rows": {"nuslerp_flatten": False},
    "columns": {"nuslerp_flatten": False, "nuslerp_row_wise": True},
}
WEIGHT = st.floats(0.05, 4)


def tensors(count: int, seed: int = 0, shape: Sequence[int] = (12, 20)) -> list[torch.Tensor]:
    """Tensors near a common one, as fine-tunes are."""
    generator = torch.Generator().manual_seed(seed)
    common = torch.randn(*shape, generator=generator)
    return [common + torch.randn(*shape, generator=generator) for _ in range(count)]


def close(got: torch.Tensor, wanted: torch.Tensor) -> None:
    torch.testing.assert_close(got.double(), wanted, rtol=1e-5, atol=1e-5)


@given(weights=st.lists(WEIGHT, min_size=2, max_size=2), seed=st.integers(0, 50))
@pytest.mark.parametrize("based", [False, True], ids=["alone", "base"])
@pytest.mark.parametrize("way", WAYS)
def test_nuslerp_is_slerp_by_weights(way: str, based: bool, weights: list[float], seed: int) -> None:
    """nuslerp of whole tensors, rows or columns, or of their differences from a base."""
    a, b, base = tensors(3, seed)
    origin = base if based else None
    got = blend("nuslerp", [a, b], base=origin, weights=weights, tile=60, **WAYS[way])
    close(got, references.nuslerp([a, b], weights, origin, way))


@given(weights=st.lists(WEIGHT, min_size=2, max_size=5), seed=st.integers(0, 50))
@pytest.mark.parametrize("based", [False, True], ids=["alone", "base"])
def test_multislerp_is_the_published_map(based: bool, weights: list[float], seed: int) -> None:
    """multislerp equals the paper's mean in the tangent space."""
    *sources, base = tensors(len(weights) + 1, seed)
    origin = base if based else None
    got = blend("multislerp", sources, base=origin, weights=weights, tile=70)
    close(got, references.multislerp(sources, weights, origin))


@given(count=st.integers(2, 5), seed=st.integers(0, 50))
def test_karcher_finds_the_mean_of_the_sphere(count: int, seed: int) -> None:
    """Ten iterations reach the result of two hundred."""
    sources = tensors(count, seed)
    torch.testing.assert_close(
        blend("karcher", sources, tile=70).double(), references.karcher(sources), rtol=1e-4, atol=1e-4
    )


@given(count=st.integers(2, 5), seed=st.integers(0, 50))
@pytest.mark.parametrize("by_row", [False, True], ids=["tensor", "rows"])
def test_model_stock_is_eq_2(by_row: bool, count: int, seed: int) -> None:
    """t follows from the angle of the tensor, or of each row."""
    *sources, base = tensors(count + 1, seed)
    got = blend("model_stock", sources, base=base, tile=40, filter_wise=by_row)
    torch.testing.assert_close(got.double(), references.model_stock(sources, base, by_row=by_row), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("op", ["nuslerp", "multislerp", "karcher"])
@pytest.mark.parametrize("factor", [2.0**-20, 3.0, 2.0**20])
def test_scale_goes_through(op: str, factor: float) -> None:
    """Scaling all sources scales the result."""
    sources = tensors(2)
    scaled = blend(op, [factor * source for source in sources])
    torch.testing.assert_close(scaled / factor, blend(op, sources), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("op", ["nuslerp", "multislerp", "karcher", "model_stock"])
def test_the_order_of_sources_does_not_matter(op: str) -> None:
    """With equal weights the order of the sources does not matter."""
    *sources, base = tensors(3)
    origin = base if op == "model_stock" else None
    close(blend(op, sources, base=origin), blend(op, sources[::-1], base=origin).double())


@pytest.mark.parametrize("op", ["nuslerp", "multislerp", "karcher", "model_stock"])
def test_sources_of_zeros_are_no_failure(op: str) -> None:
    """Sources of zeros give zeros; sources equal to the base give the base."""
    zeros = torch.zeros(3, 4)
    base = torch.ones(3, 4) if op == "model_stock" else None
    sources = [zeros, zeros] if base is None else [base, base]
    assert blend(op, sources, base=base).equal(zeros if base is None else base)


def test_opposite_sources_have_no_mean_direction() -> None:
    """For opposite sources multislerp uses the weighted sum, and karcher one of the sources."""
    (a,) = tensors(1)
    assert blend("multislerp", [a, -a]).abs().max() == 0
    assert torch.isfinite(blend("karcher", [a, -a])).all()
