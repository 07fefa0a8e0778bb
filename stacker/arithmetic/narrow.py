"""Compiled conversions between fp32 or fp64 and narrower float types, by branch-free bit arithmetic."""

from __future__ import annotations

from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from stacker.arithmetic.jit import compiled


class Form(NamedTuple):
    """The layout of a narrow float type, as uint32 values.

    `dropped` is the number of fraction bits fewer than fp32, `least` the fp32 exponent field of the smallest normal
    number. `largest`, `over` and `none` are the bits of the largest number, of larger values, and of NaN; `signed` is
    the smallest magnitude that may have a sign (some types have no −0), `sign` the position of the sign bit.
    """

    dropped: Any
    least: Any
    largest: Any
    over: Any
    none: Any
    signed: Any
    sign: Any


def _form(*values: int) -> Form:
    return Form(*map(np.uint32, values))


FORMS = {
    np.dtype(np.float16): _form(13, 113, 0x7BFF, 0x7C00, 0x7E00, 0, 15),
    np.dtype(ml_dtypes.bfloat16): _form(16, 1, 0x7F7F, 0x7F80, 0x7FC0, 0, 15),
    np.dtype(ml_dtypes.float8_e5m2): _form(21, 113, 0x7B, 0x7C, 0x7F, 0, 7),
    np.dtype(ml_dtypes.float8_e4m3fn): _form(20, 121, 0x7E, 0x7E, 0x7F, 0, 7),
    np.dtype(ml_dtypes.float8_e5m2fnuz): _form(21, 112, 0x7F, 0x80, 0x80, 1, 7),
    np.dtype(ml_dtypes.float8_e4m3fnuz): _form(20, 120, 0x7F, 0x80, 0x80, 1, 7),
}
"""float8_e4m3fn has no infinity: larger values become its largest number."""
VALUES = {kind: np.arange(256, dtype=np.uint8).view(kind).astype(np.float32) for kind in FORMS if kind.itemsize == 1}
"""The fp32 value of each 8-bit pattern, for the 8-bit types."""


@compiled
def narrow(bits: Any, form: Form, out: Any) -> None:
    """Convert the bits of fp32 numbers to those of a narrower type, rounded to nearest even; NaN stays NaN.

    A subnormal result is rounded by adding a power of 2 whose last fp32 bit is the narrow type's last bit.
    """
    dropped, away = (
        form.dropped & np.uint32(31),
        (np.uint32(31) - form.sign) & np.uint32(31),
    )  # tells LLVM that shifts are < 32
    sign, start = np.uint32(np.uint32(1) << form.sign), np.uint32(form.least << np.uint32(23))
    half = np.uint32(np.uint32(1) << np.uint32(dropped - np.uint32(1)))
    rebased = np.uint32(np.uint32(1 << 23) - start + half - np.uint32(1))
    power = np.uint32(np.uint32(form.least + dropped) << np.uint32(23))
    for k in range(bits.size):
        value = bits[k]
        size = np.uint32(value & np.uint32(0x7FFFFFFF))
        odd = np.uint32(size >> np.uint32(dropped)) & np.uint32(1)
        normal = np.uint32(np.uint32(size + rebased + odd) >> np.uint32(dropped))
        small = np.uint32(np.float32(size.view(np.float32) + power.view(np.float32)).view(np.uint32) - power)
        found = small if size < start else normal
        found = found if found <= form.largest else form.over
        found = found if size <= np.uint32(0x7F800000) else form.none
        minus = np.uint32(np.uint32(value >> np.uint32(away)) & sign)
        out[k] = found | (minus if found >= form.signed else np.uint32(0))


@compiled
def widen_half(bits: Any, out: Any) -> None:
    """Convert the bits of fp16 numbers to a wider type, exactly."""
    for k in range(bits.size):
        value = np.uint32(bits[k])
        size = np.uint32(value & np.uint32(0x7FFF))
        finite = size < np.uint32(0x7C00)
        normal = np.uint32((size << np.uint32(13)) + np.uint32(112 << 23 if finite else 224 << 23))
        small = np.float32(np.float32(np.int32(size)) * np.float32(2.0**-24)).view(np.uint32)
        found = small if size < np.uint32(0x400) else normal
        out[k] = np.uint32(found | ((value & np.uint32(0x8000)) << np.uint32(16))).view(np.float32)


@compiled
def look_up(bits: Any, values: Any, out: Any) -> None:
    """Write the value of each 8-bit pattern."""
    for k in range(bits.size):
        out[k] = values[bits[k]]


@compiled
def round_to_odd(array: Any, out: Any) -> None:
    """Convert fp64 to fp32 with the last bit set where inexact, so that rounding again to fewer bits is correct.

    Conversions from fp64 to the narrow types go by way of fp32. See Boldo and Melquiond, Emulation of FMA and
    correctly rounded sums (IEEE Trans. Computers 2008), section 3.
    """
    for k in range(array.size):
        near = np.float32(array[k])
        away = abs(np.float64(near)) > abs(array[k])
        toward_zero = np.uint32(near.view(np.uint32) - np.uint32(away))
        out[k] = np.uint32(toward_zero | np.uint32(np.float64(near) != array[k])).view(np.float32)
