"""Values of expressions against whole tensors computed in fp64 and rounded once."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from stacker.core.plan.costs import TILE
from stacker.core.values.expression import Blend, Cast, Copy, Expression, Scale
from stacker.run.compute.evaluation import make_kernels
from stacker.tensors import CONFIG_DTYPES, Dtype, TensorRef
from tests.ops.test_slerp import reference
from tests.run.builds import Made, build, built, copy, linear, make_plain_plan, random, slerp, write_plain_donor

FLOATS = (torch.bfloat16, torch.float16, torch.float32, torch.float64)
FP8 = (torch.float8_e4m3fn, torch.float8_e5m2)


def _made(folder: Path, a: torch.Tensor, b: torch.Tensor, dtype: torch.dtype, expression: Expression) -> torch.Tensor:
    """Build an expression over the tensors `x` of donors a and b, and load the result."""
    donors = {name: write_plain_donor(folder / name, name, [{"x": x}]) for name, x in (("a", a), ("b", b))}
    build(make_plain_plan({"y": Made(dtype, tuple(a.shape), expression)}), donors, folder / "out")
    return built(folder / "out")["y"]


def _within_one_rounding(got: torch.Tensor, exact: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether each element is exact up to one rounding to its type and the rounding of the arithmetic."""
    arithmetic = 2.0**-46 if got.dtype is torch.float64 else 2.0**-21
    limits = torch.finfo(got.dtype)
    rounding = 0.5 * limits.eps * exact.abs() + limits.eps * limits.tiny
    return bool(((got.double() - exact).abs() <= rounding + arithmetic * (a.double().abs() + b.double().abs())).all())


@pytest.mark.parametrize("dtype", [*FLOATS, *FP8], ids=str)
def test_linear_in_every_float_type(tmp_path: Path, dtype: torch.dtype) -> None:
    """A weighted mean of two tensors, rounded once to their own type."""
    a, b = random(300, seed=1, dtype=dtype), random(300, seed=2, dtype=dtype)
    got = _made(tmp_path, a, b, dtype, linear(copy("x"), copy("x", "b"), weights=(1, 3)))
    assert _within_one_rounding(got, 0.25 * a.double() + 0.75 * b.double(), a, b)


@pytest.mark.parametrize("dtype", [*FLOATS, *FP8], ids=str)
def test_slerp_in_every_float_type(tmp_path: Path, dtype: torch.dtype) -> None:
    """The arc between two tensors of more than a tile: the angle is that of the whole tensors."""
    a, b = random(TILE + 77, seed=1, dtype=dtype), random(TILE + 77, seed=2, dtype=dtype)
    b[: TILE // 2] = a[: TILE // 2]
    got = _made(tmp_path, a, b, dtype, slerp(copy("x"), copy("x", "b"), 0.4))
    assert _within_one_rounding(got, reference(a, b, 0.4), a, b)


def test_double_precision_is_kept(tmp_path: Path) -> None:
    """Arithmetic is fp64 when a source is."""
    a, b = random(99, seed=1, dtype=torch.float64), random(99, seed=2, dtype=torch.float64)
    got = _made(tmp_path, a, b, torch.float64, slerp(copy("x"), copy("x", "b"), 0.4))
    torch.testing.assert_close(got, reference(a, b, 0.4), rtol=1e-14, atol=1e-15)


def test_sources_of_different_types(tmp_path: Path) -> None:
    """Sources of different types are each read without loss."""
    a, b = random(99, seed=1, dtype=torch.float32), random(99, seed=2, dtype=torch.bfloat16)
    got = _made(tmp_path, a, b, torch.float16, linear(copy("x"), copy("x", "b"), weights=(1, 1)))
    assert _within_one_rounding(got, (a.double() + b.double()) / 2, a, b)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("source", FLOATS, ids=str)
def test_cast_rounds_to_nearest_even(tmp_path: Path, source: torch.dtype, dtype: torch.dtype) -> None:
    """For every pair of types, ties and their neighbours round as exact arithmetic does."""
    values = _ties(dtype).to(source)
    kind = CONFIG_DTYPES[str(dtype).removeprefix("torch.")]
    got = _made(tmp_path, values, values, dtype, Cast(copy("x"), kind))
    nearest = [_nearest(float(value), dtype) for value in values.double()]
    assert got.double().tolist() == nearest


def _ties(dtype: torch.dtype) -> torch.Tensor:
    """Numbers of a type, the midpoints between them, and fp64 numbers next to the midpoints."""
    grid = torch.tensor([1.0, -1.5, 3.0, 0.1], dtype=torch.float64).to(dtype).double()
    eps = torch.finfo(dtype).eps
    lines = [grid * (1 + k * eps / 2) for k in range(5)]
    near = [line * (1 + sign * 2.0**-40) for line in lines for sign in (-1, 1)]
    return torch.cat([*lines, *near])


def _nearest(value: float, dtype: torch.dtype) -> float:
    """The nearest number of a type, ties to even, computed exactly with fractions."""
    digits = {torch.bfloat16: 8, torch.float16: 11, torch.float32: 24, torch.float64: 53}[dtype]
    exact = Fraction(value)
    exponent = struct.unpack(">Q", struct.pack(">d", abs(value)))[0] // 2**52 - 1023
    unit = Fraction(2) ** (exponent - digits + 1)
    return float(round(exact / unit) * unit)


@pytest.mark.parametrize("source", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("dtype", "largest"), [(FP8[0], 448.0), (FP8[1], torch.inf)], ids=str)
def test_past_the_range_of_fp8(tmp_path: Path, dtype: torch.dtype, largest: float, source: torch.dtype) -> None:
    """Values out of range become the largest number in the type without infinities, infinity in the other."""
    values = torch.tensor([1e30, -1e6, torch.inf, torch.nan, 1.0], dtype=source)
    kind = CONFIG_DTYPES[str(dtype).removeprefix("torch.")]
    got = _made(tmp_path, values, values, dtype, Cast(copy("x"), kind)).float()
    assert got[[0, 1, 2, 4]].tolist() == [largest, -largest, largest, 1.0]
    assert got[3].isnan()


def test_an_inner_cast_rounds_where_it_stands(tmp_path: Path) -> None:
    """A cast inside an expression rounds to its type."""
    a = random(99, seed=1, dtype=torch.float32)
    got = _made(tmp_path, a, a, torch.float32, Scale(Cast(copy("x"), Dtype.BF16), 3.0))
    assert got.equal(a.bfloat16().float() * 3.0)


@pytest.mark.parametrize("dtype", [*FLOATS, *FP8], ids=str)
@pytest.mark.parametrize("factor", [1 / 0.7, 0.5, 0.0])
def test_a_factor_with_an_offset(tmp_path: Path, dtype: torch.dtype, factor: float) -> None:
    """The factor applies to the number with the offset added, over several tiles, rounded once."""
    a = random(TILE + 77, seed=1, dtype=dtype)
    got = _made(tmp_path, a, a, dtype, Scale(copy("x"), factor, 1.0))
    assert _within_one_rounding(got, (a.double() + 1) * factor - 1, a.double().abs() + 1, a)


def test_a_factor_with_an_offset_beside_a_blend(tmp_path: Path) -> None:
    """The memory of the offset is not that of another source of the blend around it."""
    a, b = random(500, seed=1, dtype=torch.float32), random(500, seed=2, dtype=torch.float32)
    got = _made(tmp_path, a, b, torch.float32, linear(copy("x", "b"), Scale(copy("x"), 3.0, 1.0), weights=(1, 1)))
    torch.testing.assert_close(got, (b + 3 * a + 2) / 2)


def test_a_wider_inner_cast_changes_nothing(tmp_path: Path) -> None:
    """A cast to a wider type than the arithmetic's does not round."""
    a = random(99, seed=1, dtype=torch.float32)
    assert _made(tmp_path, a, a, torch.float32, Scale(Cast(copy("x"), Dtype.F64), 2.0)).equal(a * 2)


@pytest.mark.parametrize("t", [0.0, 0.3, 1.0])
def test_blends_of_blends(tmp_path: Path, t: float) -> None:
    """Inner blends get passes like outer ones, and do not overwrite each other's results."""
    a, b = random(500, seed=1, dtype=torch.float32), random(500, seed=2, dtype=torch.float32)
    left = slerp(copy("x"), copy("x", "b"), t)
    right = slerp(Scale(copy("x", "b"), -0.5), copy("x"), 1 - t)
    got = _made(tmp_path, a, b, torch.float32, linear(left, slerp(left, right, 0.6), copy("x"), weights=(2, 3, 5)))
    one = reference(a, b, t)
    two = reference(-0.5 * b.double(), a, 1 - t)
    wanted = 0.2 * one + 0.3 * reference(one, two, 0.6) + 0.5 * a.double()
    torch.testing.assert_close(got.double(), wanted, rtol=1e-4, atol=1e-5)


def test_a_base_comes_after_the_sources(tmp_path: Path) -> None:
    """A base does not change the result of an op that ignores it."""
    a, b = random(50, seed=1, dtype=torch.float32), random(50, seed=2, dtype=torch.float32)
    plain = linear(copy("x"), copy("x", "b"), weights=(1, 1))
    based = Blend(plain.op, plain.of, plain.parameters, plain.per_source, base=copy("x"))
    assert _made(tmp_path, a, b, torch.float32, based).equal((a + b) / 2)


def test_a_blend_with_zeros(tmp_path: Path) -> None:
    """A source scaled by 0 is zeros inside a blend, even if it holds NaN."""
    a, b = random(50, seed=1), torch.full((50,), torch.nan, dtype=torch.bfloat16)
    got = _made(tmp_path, a, b, torch.bfloat16, linear(copy("x"), Scale(copy("x", "b"), 0.0), weights=(1, 1)))
    assert got.equal(a / 2)


def test_infinities_break_only_their_own_places(tmp_path: Path) -> None:
    """Sums that are undefined (infinity minus infinity over two tiles) leave the other elements finite."""
    a, b = random(2 * TILE, seed=1, dtype=torch.float32), random(2 * TILE, seed=2, dtype=torch.float32)
    a[5], a[TILE + 5] = torch.inf, -torch.inf
    b[5] = b[TILE + 5] = 1.0
    got = _made(tmp_path, a, b, torch.float32, slerp(copy("x"), copy("x", "b"), 0.5))
    assert (~torch.isfinite(got)).nonzero().flatten().tolist() == [5, TILE + 5]


def test_the_scale_of_passthrough(tmp_path: Path) -> None:
    """`passthrough` in a blend multiplies by its scale."""
    a = random(50, seed=1)
    assert _made(tmp_path, a, a, torch.bfloat16, Blend("passthrough", (copy("x"),), (("scale", 0.5),))).equal(a / 2)


def test_inner_blends_come_first() -> None:
    """A blend's statistics need those of the blends in it."""
    a, b = (Copy(TensorRef("donor", name)) for name in "ab")
    inner = Blend("slerp", (a, b), (("t", 0.5),))
    outer = Blend("slerp", (inner, a), (("t", 0.5),))
    assert list(make_kernels(outer)) == [inner, outer]
