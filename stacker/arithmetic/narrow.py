"""Converts fp32 or fp64 to narrower float types and back, with compiled, branch-free bit arithmetic."""

from __future__ import annotations

from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from stacker.arithmetic.jit import compiled


class Form(NamedTuple):
    """Describes a float type of 8 or 16 bits: its fraction bits, smallest and largest numbers, and special values.

    All fields are uint32 numbers: bit patterns, numbers of bits, or an exponent field.
    """

    dropped: Any
    """How many fewer fraction bits the type has than fp32."""
    least: Any
    """The exponent field that the type's smallest normal number has in fp32."""
    largest: Any
    """The bits of the type's largest finite number."""
    over: Any
    """The bits used for values larger than the largest finite number."""
    none: Any
    """The bits of NaN."""
    signed: Any
    """The smallest magnitude, as bits, that may have a minus sign: 1 for types that have no −0, 0 for other types."""
    sign: Any
    """The position of the sign bit; bit 0 is the lowest."""


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
"""The layout of each type; values too large for float8_e4m3fn become its largest number, as it has no infinity."""
VALUES = {kind: np.arange(256, dtype=np.uint8).view(kind).astype(np.float32) for kind in FORMS if kind.itemsize == 1}
"""For each 8-bit type, the fp32 values of all 256 bit patterns."""


@compiled
def narrow(bits: Any, form: Form, out: Any) -> None:
    """Convert the bits of fp32 numbers to the bits of the type `form`, rounded to nearest even; NaN stays NaN.

    A subnormal result is rounded by adding a power of 2 so large that fp32 drops exactly the bits to round off.
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
    """Write the numbers with these fp16 bits to `out`, an array of fp32 or fp64; the conversion is exact."""
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
    """Write to `out` the number for each 8-bit pattern in `bits`; `values` lists the numbers for all 256 patterns."""
    for k in range(bits.size):
        out[k] = values[bits[k]]


@compiled
def round_to_odd(array: Any, out: Any) -> None:
    """Convert fp64 to fp32, rounded toward 0, and set the lowest bit of each number that was not converted exactly.

    After this step, rounding to a type with fewer bits has the same result as rounding from fp64 directly: see Boldo
    and Melquiond, Emulation of FMA and correctly rounded sums (IEEE Trans. Computers 2008), section 3.
    """
    for k in range(array.size):
        near = np.float32(array[k])
        away = abs(np.float64(near)) > abs(array[k])
        toward_zero = np.uint32(near.view(np.uint32) - np.uint32(away))
        out[k] = np.uint32(toward_zero | np.uint32(np.float64(near) != array[k])).view(np.float32)
