"""slerp against Shoemake's formula in fp64 over whole tensors, and properties of spherical interpolation."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from tests.ops.blending import blend

T = st.floats(0, 1)


def _pair(seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(300, generator=generator) for _ in range(2)]


def reference(a: torch.Tensor, b: torch.Tensor, t: float) -> torch.Tensor:
    """The formula as published, on whole fp64 tensors."""
    a, b = a.double(), b.double()
    cosine = torch.dot(a / a.norm(), b / b.norm())
    if abs(cosine) > 0.9995:
        return (1 - t) * a + t * b
    angle = torch.arccos(cosine)
    return torch.sin((1 - t) * angle) / torch.sin(angle) * a + torch.sin(t * angle) / torch.sin(angle) * b


@given(t=st.floats(-0.5, 1.5), seed=st.integers(0, 20))
def test_is_the_published_formula(t: float, seed: int) -> None:
    """Between the sources, and past them where it extrapolates."""
    a, b = _pair(seed)
    torch.testing.assert_close(blend("slerp", [a, b], t=t).double(), reference(a, b, t), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("end", [0, 1])
def test_ends_are_the_sources(end: int) -> None:
    """t = 0 is the first source and t = 1 the second, bit for bit."""
    pair = _pair()
    assert blend("slerp", pair, t=float(end)).equal(pair[end])


def test_an_end_keeps_the_other_source_out() -> None:
    """At t = 0 or 1, NaN in the other source has no effect."""
    a, b = _pair()
    b[7] = torch.nan
    assert blend("slerp", [a, b], t=0.0).equal(a)


@given(t=T)
def test_turned_round_it_is_the_same_way(t: float) -> None:
    """Interpolating from a to b by t equals interpolating from b to a by 1 − t."""
    a, b = _pair()
    torch.testing.assert_close(blend("slerp", [a, b], t=t), blend("slerp", [b, a], t=1 - t), rtol=1e-4, atol=1e-5)


@given(t=T, factor=st.sampled_from([2.0**-20, 0.5, 3.0, 2.0**20]))
def test_scale_goes_through(t: float, factor: float) -> None:
    """Scaling both sources scales the result."""
    a, b = _pair()
    scaled = blend("slerp", [a * factor, b * factor], t=t)
    torch.testing.assert_close(scaled, blend("slerp", [a, b], t=t) * factor, rtol=1e-4, atol=1e-5 * factor)


@given(t=T)
def test_stays_on_the_sphere(t: float) -> None:
    """The result of two unit vectors is a unit vector."""
    a, b = (source / source.norm() for source in _pair())
    assert blend("slerp", [a, b], t=t).norm() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("sign", [1, -1], ids=["parallel", "opposite"])
def test_on_one_line_it_is_linear(sign: int) -> None:
    """Interpolation is linear where the great circle is undefined."""
    a, _ = _pair()
    torch.testing.assert_close(blend("slerp", [a, 2 * sign * a], t=0.25), (0.75 + 0.5 * sign) * a)


def test_equal_sources_stay_as_they_are() -> None:
    """A tensor with itself gives that tensor, exactly after rounding to bf16."""
    a = _pair()[0].bfloat16()
    assert blend("slerp", [a.float(), a.float()], t=0.3).bfloat16().equal(a)


@pytest.mark.parametrize("zero", [0, 1], ids=["first", "second"])
def test_a_source_of_zeros_has_no_direction(zero: int) -> None:
    """A source of zeros makes the interpolation linear: the other source times its weight."""
    pair = _pair()
    pair[zero] = torch.zeros(300)
    share = 0.75 if zero else 0.25
    torch.testing.assert_close(blend("slerp", pair, t=0.25), share * pair[1 - zero])


def test_two_sources_of_zeros_give_zeros() -> None:
    """Two sources of zeros give zeros."""
    assert blend("slerp", [torch.zeros(4), torch.zeros(4)], t=0.5).equal(torch.zeros(4))


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_broken_value_breaks_only_its_own_place(value: float) -> None:
    """With NaN or infinity there is no angle, and the other elements are interpolated linearly."""
    a, b = _pair()
    a[3] = value
    got = blend("slerp", [a, b], t=0.5)
    assert got[4:].equal(((a + b) / 2)[4:])
    assert not torch.isfinite(got[3])


def test_huge_values_do_not_overflow() -> None:
    """Statistics are fp64, so squares of the largest bf16 values do not overflow."""
    a, b = (source * 1e37 for source in _pair())
    torch.testing.assert_close(blend("slerp", [a, b], t=0.4).double(), reference(a, b, 0.4), rtol=1e-5, atol=1e32)
