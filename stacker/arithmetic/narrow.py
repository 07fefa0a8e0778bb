"""Rounding to fewer bits, and back, compiled: arithmetic on bits, the same steps for every element."""

from __future__ import annotations

from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from stacker.arithmetic.jit import compiled


class Form(NamedTuple):
    """How a narrow type is laid out, all as uint32.

    `dropped` bits of fp32's fraction it does not have; its `least` normal number has this exponent in fp32. Then come
    bits: of its largest number, of what is `over` that, of NaN, of the first that may be negative (not every type has
    −0), and the place of the sign.
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
"""float8_e4m3fn has no infinity: what is larger than its largest number becomes that."""
VALUES = {kind: np.arange(256, dtype=np.uint8).view(kind).astype(np.float32) for kind in FORMS if kind.itemsize == 1}
"""Of every pattern of 8 bits."""


@compiled
def narrow(bits: Any, form: Form, out: Any) -> None:
    """The bits of fp32 numbers to those of a narrower type, to nearest even; NaN stays NaN.

    Below the least normal number a power of 2 is added whose last bit in fp32 is the type's last: adding rounds.
    """
    dropped, away = form.dropped & np.uint32(31), (np.uint32(31) - form.sign) & np.uint32(31)  # known to be < 32
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
    """The bits of fp16 numbers to numbers of a wider type, exactly."""
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
    """The value of each pattern of 8 bits."""
    for k in range(bits.size):
        out[k] = values[bits[k]]


@compiled
def round_to_odd(array: Any, out: Any) -> None:
    """fp64 to fp32 with the last bit set where it is inexact: what is rounded to fewer bits after is rounded right.

    Conversions from fp64 to the narrow types go by way of fp32. See Boldo and Melquiond, Emulation of FMA and
    correctly rounded sums (IEEE Trans. Computers 2008), section 3.
    """
    for k in range(array.size):
        near = np.float32(array[k])
        away = abs(np.float64(near)) > abs(array[k])
        toward_zero = np.uint32(near.view(np.uint32) - np.uint32(away))
        out[k] = np.uint32(toward_zero | np.uint32(np.float64(near) != array[k])).view(np.float32)
