"""Conversions on both backends: every number of every narrow type, and values around the midpoints between them.

Which number a pattern of bits is, torch says; which of them is nearest is looked up among all of them, in fp64.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from stacker.arithmetic.backend import Backend
from stacker.arithmetic.narrow import round_to_odd
from stacker.arithmetic.numpy_backend import NUMPY
from stacker.arithmetic.torch_backend import TorchBackend
from stacker.tensors import DTYPES, Dtype
from tests.arithmetic.arrays import Numbers, numbers, odd, put

NARROW = [dtype for dtype in DTYPES.values() if dtype.arithmetic and dtype.bits < 32]
WIDE = {Dtype.F32: np.float32, Dtype.F64: np.float64}
EACH = pytest.mark.parametrize("dtype", NARROW, ids=lambda dtype: dtype.label)
BOTH = pytest.mark.parametrize("kind", WIDE, ids=lambda dtype: dtype.label)


@dataclass(frozen=True, slots=True)
class Type:
    """A narrow type: its nonnegative numbers in ascending order, and the values of all bit patterns."""

    kind: torch.dtype
    whole: Any
    numbers: Numbers
    patterns: torch.Tensor

    @property
    def sign(self) -> int:
        return len(self.patterns) // 2


@cache
def type_of(dtype: Dtype) -> Type:
    kind = getattr(torch, dtype.torch_name)
    whole = np.uint16 if dtype.bits == 16 else np.uint8
    patterns = torch.from_numpy(np.arange(1 << dtype.bits, dtype=np.uint32).astype(whole)).view(kind)
    every = patterns[: len(patterns) // 2].double().numpy()
    return Type(kind, whole, every[np.isfinite(every)], patterns)


def _home(backend: Backend, count: int, dtype: Dtype) -> Any:
    """A new array of the given type."""
    size = count * dtype.bits // 8
    return backend.array(
        torch.empty(size, dtype=torch.uint8) if isinstance(backend, TorchBackend) else bytearray(size), dtype
    )


def _whole(array: Any, dtype: Dtype) -> Numbers:
    """The bits of an array's elements."""
    if isinstance(array, torch.Tensor):
        array = array.view(torch.uint8).numpy()
    found: Numbers = array.view(type_of(dtype).whole)
    return found


def _converted(backend: Backend, values: Numbers, dtype: Dtype) -> Numbers:
    """As bits."""
    home = _home(backend, len(values), dtype)
    assert backend.convert(home, put(backend, values)) is home
    return _whole(home, dtype)


def _around(dtype: Dtype, kind: Any) -> Numbers:
    """Each number, the midpoint to the next, and the neighbours of both in a wide type, with both signs."""
    every = type_of(dtype).numbers
    end = 2 * every[-1] - every[-2]
    middles = (every + np.append(every[1:], end)) / 2
    with np.errstate(all="ignore"):
        exact = np.concatenate([every, middles, [end, 1.5 * end, np.finfo(kind).max, 1e-45]]).astype(kind)
        near = [exact, np.nextafter(exact, kind(0)), np.nextafter(exact, kind(np.inf))]
    return np.concatenate([*near, *(-each for each in near), np.array([np.nan, -np.nan, np.inf, -np.inf], kind)])


def _expected(values: Numbers, dtype: Dtype) -> tuple[Numbers, Numbers]:
    """The bits of the nearest number (ties to even), and which values are NaN, whose bits may vary."""
    own = type_of(dtype)
    sizes = abs(values.astype(np.float64))
    every = np.append(own.numbers, 2 * own.numbers[-1] - own.numbers[-2])
    above = np.searchsorted(every, np.where(np.isnan(sizes), 0, sizes)).clip(1, len(every) - 1)
    up, down = every[above] - sizes, sizes - every[above - 1]
    place = np.where((up < down) | ((up == down) & (above % 2 == 0)), above, above - 1)
    beyond = place == len(own.numbers)
    if dtype is Dtype.F8_E4M3:
        place[beyond] = len(own.numbers) - 1
    none = np.isnan(values) | (beyond & ("FNUZ" in dtype.label))
    signed = np.signbit(values) & ((place > 0) | ("FNUZ" not in dtype.label))
    return place + own.sign * signed, none


@EACH
@BOTH
def test_each_is_rounded_once_to_the_nearest(backend: Backend, dtype: Dtype, kind: Dtype) -> None:
    """fp64 is rounded once, not by way of fp32; values that are too large become infinite, the largest one, or NaN."""
    values = _around(dtype, WIDE[kind])
    found, (expected, none) = _converted(backend, values, dtype), _expected(values, dtype)
    wrong = (found != expected) & ~none
    assert not wrong.any(), (values[wrong][:5], found[wrong][:5], expected[wrong][:5])
    assert np.isnan(type_of(dtype).patterns[found[none].astype(np.int64)].float().numpy()).all()


@EACH
def test_fp32_as_torch_does(backend: Backend, dtype: Dtype) -> None:
    """Random values of all magnitudes, except for fp8_e4m3, where torch turns values that are too large into NaN."""
    bits = np.random.default_rng(1).integers(0, 1 << 32, 100_000, dtype=np.uint32).view(np.float32)
    values = np.concatenate([bits, numbers(10_000, np.float32), odd(10_000, np.float32)])
    given = torch.from_numpy(values)
    theirs = (given.clamp(-448.0, 448.0) if dtype is Dtype.F8_E4M3 else given).to(type_of(dtype).kind)
    found, none = _converted(backend, values, dtype), theirs.isnan().numpy()
    assert np.array_equal(found[~none], theirs.view(torch.uint8).numpy().view(found.dtype)[~none])
    assert type_of(dtype).patterns[found[none].astype(np.int64)].isnan().all()


@EACH
@BOTH
def test_every_pattern_is_widened_exactly(backend: Backend, dtype: Dtype, kind: Dtype) -> None:
    """Widening is exact, signs of zeros included, and narrowing restores the bits."""
    own = type_of(dtype)
    raw = own.patterns.view(torch.uint8).clone()
    source = backend.array(raw if isinstance(backend, TorchBackend) else bytearray(raw.numpy().tobytes()), dtype)
    tile = _home(backend, len(own.patterns), kind)
    assert backend.convert(tile, source) is tile
    theirs = own.patterns.to(getattr(torch, kind.torch_name)).numpy()
    number = ~np.isnan(theirs)
    assert np.array_equal(np.isnan(np.asarray(tile)), ~number)
    assert np.array_equal(np.asarray(tile)[number], theirs[number])
    assert np.array_equal(np.signbit(np.asarray(tile))[number], np.signbit(theirs)[number])
    back = _whole(backend.convert(_home(backend, len(own.patterns), dtype), tile), dtype)
    same = number & np.isfinite(theirs) if dtype is Dtype.F8_E4M3 else number
    assert np.array_equal(back[same], _whole(source, dtype)[same])


@pytest.mark.parametrize(
    ("dtype", "value", "expected"),
    [
        (Dtype.BF16, 1 + 2.0**-8 + 2.0**-40, 1 + 2.0**-7),
        (Dtype.BF16, 1 + 2.0**-8, 1.0),
        (Dtype.BF16, 1 + 3 * 2.0**-8 - 2.0**-40, 1 + 2.0**-7),
        (Dtype.F16, 1 + 2.0**-11 + 2.0**-40, 1 + 2.0**-10),
        (Dtype.F16, 2.0**-25 + 2.0**-60, 2.0**-24),
        (Dtype.F16, 65520 - 2.0**-30, 65504.0),
        (Dtype.F8_E5M2, 1.125 + 2.0**-40, 1.25),
        (Dtype.F8_E4M3, 1.0625 + 2.0**-40, 1.125),
        (Dtype.F8_E4M3, 449.0, 448.0),
        (Dtype.F8_E4M3, np.inf, 448.0),
        (Dtype.F8_E4M3, -1e300, -448.0),
    ],
    ids=str,
)
def test_by_hand(backend: Backend, dtype: Dtype, value: float, expected: float) -> None:
    """Values whose result would differ if rounded to fp32 first, and values that saturate."""
    bits = int(_converted(backend, np.array([value]), dtype)[0])
    assert float(type_of(dtype).patterns[bits].double()) == expected


@BOTH
@pytest.mark.parametrize("target", WIDE, ids=lambda dtype: dtype.label)
def test_between_the_wide(backend: Backend, kind: Dtype, target: Dtype) -> None:
    """fp64 converts to fp32 as in numpy; values too large become infinite without a warning."""
    with np.errstate(all="ignore"):
        more = np.array([1e300, -1e300, 1 + 2.0**-24, 1 + 3 * 2.0**-24, 1e-50]).astype(WIDE[kind])
        values = np.concatenate([odd(5000, WIDE[kind]), more])
        theirs = values.astype(WIDE[target])
    found = np.asarray(backend.convert(_home(backend, len(values), target), put(backend, values)))
    assert np.array_equal(found, theirs, equal_nan=True)


@pytest.mark.parametrize("dtype", [Dtype.F16, Dtype.BF16], ids=lambda dtype: dtype.label)
@BOTH
def test_memory_that_begins_anywhere(dtype: Dtype, kind: Dtype) -> None:
    """Arrays may be at odd addresses and in read-only memory, as bytes of files are."""
    values = odd(1025, WIDE[kind])
    plain = _converted(NUMPY, values, dtype)
    shifted = memoryview(bytearray(2 * 1025 + 1))[1:]
    NUMPY.convert(NUMPY.array(shifted, dtype), values)
    assert bytes(shifted) == plain.tobytes()
    back = [
        NUMPY.convert(np.empty(1025, WIDE[kind]), NUMPY.array(memory, dtype)).tobytes()
        for memory in (shifted, bytes(shifted), bytearray(shifted))
    ]
    assert len(set(back)) == 1


def test_rounding_to_odd() -> None:
    """fp32 values are unchanged; a value between two of them becomes the one whose last bit is set."""
    values = np.concatenate([numbers(10_000, np.float64), odd(10_000, np.float64), 1e-42 * numbers(1000, np.float64)])
    found = np.empty(len(values), np.float32)
    round_to_odd(values, found)
    with np.errstate(over="ignore"):
        exact = values.astype(np.float32).astype(np.float64) == values
    assert np.array_equal(found[exact], values[exact])
    rest, mine = values[~exact & ~np.isnan(values)], found[~exact & ~np.isnan(values)]
    assert (mine.view(np.uint32) & 1).all()
    below, above = (np.nextafter(mine, np.float32(way)).astype(np.float64) for way in (-np.inf, np.inf))
    assert ((below < rest) & (rest < above)).all()
    assert np.isnan(found[np.isnan(values)]).all()
