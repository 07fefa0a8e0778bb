"""Quantised types of GGUF files, against the package gguf."""

from __future__ import annotations

import numpy as np
import pytest
from gguf import GGMLQuantizationType, quants

from stacker.arithmetic.blocks import decode, encode, rescale
from stacker.formats.ggml_types import GGML_TYPES, RESCALED
from stacker.tensors import Dtype

BLOCKS = [dtype for dtype in GGML_TYPES.values() if dtype.block > 1 and dtype.arithmetic]
SCALED = [dtype for dtype in BLOCKS if dtype.label in RESCALED]


def _values(seed: int, count: int = 4096) -> np.ndarray:
    found = np.random.default_rng(seed).standard_normal(count).astype(np.float32)
    found[:512] *= np.repeat(np.float32(10.0) ** np.arange(-8, 8), 32)
    found[512:544] = 0
    return found


def _random_blocks(dtype: Dtype, seed: int) -> np.ndarray:
    """Random bytes whose scales are fp16 numbers of ordinary size."""
    blocks = np.random.default_rng(seed).integers(0, 256, (64, dtype.size), np.uint8)
    for place in RESCALED.get(dtype.label, ()):
        halves = np.random.default_rng(seed + place).uniform(0.01, 1, 64).astype(np.float16)
        blocks[:, place : place + 2] = halves.view(np.uint8).reshape(-1, 2)
    return blocks.reshape(-1)


@pytest.mark.parametrize("dtype", BLOCKS, ids=lambda dtype: dtype.label)
def test_decodes_as_the_package_gguf(dtype: Dtype) -> None:
    """Every block becomes the numbers that the package gguf makes of it."""
    raw = _random_blocks(dtype, 1)
    with np.errstate(all="ignore"):
        expected = quants.dequantize(raw.reshape(-1, dtype.size), GGMLQuantizationType[dtype.label]).reshape(-1)
    found = decode(raw, dtype, np.empty(64 * dtype.block, np.float32))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", [each for each in BLOCKS if each.writable], ids=lambda dtype: dtype.label)
def test_encodes_as_the_package_gguf(dtype: Dtype) -> None:
    """Numbers of all sizes, also zeros, become the bytes that the package gguf makes of them."""
    values = _values(2)
    with np.errstate(all="ignore"):
        expected = quants.quantize(values.reshape(-1, dtype.block), GGMLQuantizationType[dtype.label]).reshape(-1)
    raw = np.empty(dtype.nbytes(len(values)), np.uint8)
    encode(values, dtype, raw)
    np.testing.assert_array_equal(raw, expected)


@pytest.mark.parametrize("factor", [0.5, -2.0, 4.0])
@pytest.mark.parametrize("dtype", SCALED, ids=lambda dtype: dtype.label)
def test_a_power_of_two_scales_exactly(dtype: Dtype, factor: float) -> None:
    """Multiplying the scales of blocks multiplies every element, without rounding."""
    raw = _random_blocks(dtype, 3)
    before = decode(raw, dtype, np.empty(64 * dtype.block, np.float32))
    rescale(raw, dtype, factor)
    np.testing.assert_array_equal(decode(raw, dtype, np.empty_like(before)), before * np.float32(factor))


@pytest.mark.parametrize("dtype", SCALED, ids=lambda dtype: dtype.label)
def test_any_factor_rounds_only_the_scales(dtype: Dtype) -> None:
    """The error is at most that of rounding the scales to fp16."""
    raw = _random_blocks(dtype, 4)
    before = decode(raw, dtype, np.empty(64 * dtype.block, np.float64))
    rescale(raw, dtype, 0.7)
    after = decode(raw, dtype, np.empty_like(before))
    largest = np.abs(before).reshape(64, -1).max(axis=1, keepdims=True)
    assert (np.abs(after - before * 0.7).reshape(64, -1) <= 2 * largest * 2.0**-10).all()


def test_wide_tiles_hold_the_same_numbers() -> None:
    """Elements are decoded to fp64 exactly."""
    dtype = GGML_TYPES[8]
    raw = np.empty(dtype.nbytes(4096), np.uint8)
    encode(_values(5).astype(np.float64), dtype, raw)
    wide = decode(raw, dtype, np.empty(4096, np.float64))
    np.testing.assert_array_equal(wide, decode(raw, dtype, np.empty(4096, np.float32)))


@pytest.mark.parametrize("broken", [np.nan, -np.nan, np.inf], ids=["nan", "-nan", "inf"])
def test_a_block_with_a_number_that_is_not_finite_has_no_finite_number_in_its_place(broken: float) -> None:
    """Q8_0 has no infinity and no NaN but in its scales; other blocks are not changed."""
    dtype, values = GGML_TYPES[8], _values(6)
    sound, raw = np.empty(dtype.nbytes(4096), np.uint8), np.empty(dtype.nbytes(4096), np.uint8)
    encode(values, dtype, sound)
    values[70] = broken
    encode(values, dtype, raw)
    found = decode(raw, dtype, np.empty(4096, np.float32))
    assert not np.isfinite(found[70])
    np.testing.assert_array_equal(
        np.delete(raw.reshape(-1, 34), 2, axis=0), np.delete(sound.reshape(-1, 34), 2, axis=0)
    )
