"""Elementwise ops on differences from a base, against their papers' formulas in fp64."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from tests.ops import references
from tests.ops.blending import blend
from tests.ops.test_spherical import close, tensors


@given(t=st.floats(0, 3), seed=st.integers(0, 50))
def test_nearswap_weighs_by_distance(t: float, seed: int) -> None:
    """An element moves by at most t."""
    source, base = tensors(2, seed)
    close(blend("nearswap", [source], base=base, t=t), references.nearswap(source, base, t))


def test_nearswap_of_nothing_near_is_the_base() -> None:
    """At t = 0 nothing moves."""
    source, base = tensors(2)
    assert blend("nearswap", [source], base=base, t=0.0).equal(base)


@given(alpha=st.floats(-0.5, 1.5), seed=st.integers(0, 50))
def test_wise_ft_is_the_line(alpha: float, seed: int) -> None:
    """wise_ft interpolates between base and source, and extrapolates."""
    source, base = tensors(2, seed)
    close(blend("wise_ft", [source], base=base, alpha=alpha), (1 - alpha) * base.double() + alpha * source.double())


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_the_ends_of_wise_ft(alpha: float) -> None:
    """0 is the base and 1 the source, bit for bit."""
    source, base = tensors(2)
    assert blend("wise_ft", [source], base=base, alpha=alpha).equal(source if alpha else base)


def test_mean_is_the_average() -> None:
    """All sources have equal weights."""
    sources = tensors(3)
    close(blend("mean", sources), references.linear(sources, [1, 1, 1]))


def test_zero_is_passthrough_with_another_default() -> None:
    """A scale of 0 gives zeros; without one it is the source."""
    (source,) = tensors(1)
    assert blend("zero", [source]).equal(source)
    assert not blend("zero", [source], scale=0.0).any()


@given(count=st.integers(1, 4), seed=st.integers(0, 50), epsilon=st.floats(0.1, 2))
def test_ram_keeps_what_one_source_changed(count: int, seed: int, epsilon: float) -> None:
    """Shared changes are averaged over the sources that made them."""
    *sources, base = tensors(count + 1, seed)
    close(blend("ram", sources, base=base, epsilon=epsilon, tile=50), references.ram(sources, base, epsilon=epsilon))


@given(count=st.integers(1, 4), seed=st.integers(0, 50), r=st.floats(0, 2), alpha=st.floats(0, 2))
def test_ramplus_enlarges_own_changes(count: int, seed: int, r: float, alpha: float) -> None:
    """Own changes are amplified by the tensor's ratio of shared to own changes."""
    *sources, base = tensors(count + 1, seed)
    got = blend("ramplus_tl", sources, base=base, epsilon=1.0, r=r, alpha=alpha, tile=50)
    close(got, references.ram(sources, base, r=r, alpha=alpha, epsilon=1.0))
