"""What bitsandbytes states beside its 4-bit numbers is checked before it is used."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from stacker.arithmetic.unpacking import decode_fp4
from stacker.errors import DonorError
from stacker.tensors import Dtype

STATE: dict[str, Any] = {"shape": [2, 64], "blocksize": 64, "nested_blocksize": 256, "nested_offset": 0.5}


def decode(state: dict[str, Any]) -> np.ndarray:
    """Two rows of 64 numbers, all 1 in their blocks, with nested magnitudes of 1 and an offset."""
    text = np.frombuffer(json.dumps(state).encode(), np.uint8)
    ones = np.ones(256, np.float32)
    parts: list[Any] = [
        np.zeros((64, 1), np.uint8),
        np.zeros(2, np.uint8),
        ones[:16],
        np.ones(1, np.float32),
        ones,
        text,
    ]
    out = np.empty(128, np.float32)
    decode_fp4(parts, Dtype.BF16, (64, 0, 1), (0, 64, 0), out)
    return out


def test_the_offset_is_added() -> None:
    """The magnitude of a block is the nested one plus the offset."""
    assert (decode(STATE) == 1.5).all()


@pytest.mark.parametrize("offset", [10**400, 1e300, None, "x", float("nan")])
def test_an_offset_that_is_no_number_is_refused(offset: object) -> None:
    """An offset that fp32 cannot hold would make all numbers infinite."""
    with pytest.raises(DonorError, match="4-bit"):
        decode({**STATE, "nested_offset": offset})


def test_a_missing_offset_is_refused() -> None:
    """Nested magnitudes need their offset."""
    with pytest.raises(DonorError, match="4-bit"):
        decode({key: value for key, value in STATE.items() if key != "nested_offset"})
