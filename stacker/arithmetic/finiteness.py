"""Finds out whether bytes contain floats that are infinite or not a number, by their bits."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from stacker.arithmetic.jit import compiled
from stacker.tensors import Dtype


class _Special(NamedTuple):
    """How to recognise the infinities and NaNs of a float type: their bits under `mask` equal `value`."""

    mask: Any
    value: Any


def _special(kind: type[np.unsignedinteger[Any]], mask: int, value: int) -> _Special:
    return _Special(kind(mask), kind(value))


_SPECIALS = {
    Dtype.F64: _special(np.uint64, 0x7FF << 52, 0x7FF << 52),
    Dtype.F32: _special(np.uint32, 0xFF << 23, 0xFF << 23),
    Dtype.F16: _special(np.uint16, 0x7C00, 0x7C00),
    Dtype.BF16: _special(np.uint16, 0x7F80, 0x7F80),
    Dtype.F8_E5M2: _special(np.uint8, 0x7C, 0x7C),
    Dtype.F8_E4M3: _special(np.uint8, 0x7F, 0x7F),
    Dtype.F8_E5M2FNUZ: _special(np.uint8, 0xFF, 0x80),
    Dtype.F8_E4M3FNUZ: _special(np.uint8, 0xFF, 0x80),
}


def has_non_finite(data: memoryview, dtype: Dtype) -> bool:
    """Whether whole elements of type `dtype` contain an infinity or a NaN; always False for quantised types."""
    special = _SPECIALS.get(dtype)
    return special is not None and bool(_contains(np.frombuffer(data, special.value.dtype), special))


@compiled
def _contains(bits: Any, special: _Special) -> Any:
    found = np.uint8(0)
    for k in range(bits.size):
        found |= np.uint8((bits[k] & special.mask) == special.value)
    return found
