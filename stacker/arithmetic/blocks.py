"""Decodes and encodes the quantised types of GGUF files, whose blocks of elements share a scale.

Q8_0 is compiled here; all other types are left to the package gguf. Both round as llama.cpp does.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stacker.arithmetic.jit import compiled
from stacker.errors import SpecError
from stacker.formats.ggml_types import RESCALED
from stacker.tensors import Dtype

Array = np.ndarray[Any, np.dtype[Any]]
_PIECE = 1 << 18
"""How many elements the package gguf gets at once, which bounds its memory."""


def decode(raw: Array, dtype: Dtype, out: Array) -> Array:
    """Write the elements of whole blocks, given as bytes, to `out`, an array of fp32 or fp64."""
    target = out if out.dtype == np.float32 else np.empty(len(out), np.float32)
    if dtype.label == "Q8_0":
        blocks = raw.reshape(-1, dtype.size)
        _decode_q8_0(blocks, _read_halves(blocks, 0), target)
    else:
        for begin in range(0, len(target), _PIECE):
            part = target[begin : begin + _PIECE]
            low = dtype.nbytes(begin)
            part[:] = _apply("dequantize", raw[low : low + dtype.nbytes(len(part))], dtype)
    if target is not out:
        np.copyto(out, target)
    return out


def encode(values: Array, dtype: Dtype, raw: Array) -> None:
    """Write fp32 or fp64 values to `raw`, the bytes of whole blocks."""
    source = values.astype(np.float32, copy=False)
    if dtype.label == "Q8_0":
        rows, blocks = source.reshape(-1, dtype.block), raw.reshape(-1, dtype.size)
        scales = np.empty(len(rows), np.float32)
        _find_scales_q8_0(rows, scales)
        with np.errstate(all="ignore"):
            blocks[:, :2] = scales.astype(np.float16).view(np.uint8).reshape(-1, 2)
        _encode_q8_0(rows, scales, blocks)
        return
    for begin in range(0, len(source), _PIECE):
        part = source[begin : begin + _PIECE]
        low = dtype.nbytes(begin)
        raw[low : low + dtype.nbytes(len(part))] = _apply("quantize", part, dtype)


def rescale(raw: Array, dtype: Dtype, factor: float) -> None:
    """Multiply whole blocks by `factor`: only their scales change, so that nothing but these is rounded."""
    blocks = raw.reshape(-1, dtype.size)
    for place in RESCALED[dtype.label]:
        before = _read_halves(blocks, place)
        with np.errstate(all="ignore"):
            scaled = (before * np.float32(factor)).astype(np.float16)
        if not np.isfinite(scaled[np.isfinite(before)]).all():
            raise SpecError.of(
                f"times {factor}, the scales of {dtype.label} blocks exceed fp16", "use a smaller factor"
            )
        blocks[:, place : place + 2] = scaled.view(np.uint8).reshape(-1, 2)


def _read_halves(blocks: Array, place: int) -> Array:
    """The fp16 numbers at byte `place` of each block, as fp32."""
    halves: Array = np.ascontiguousarray(blocks[:, place : place + 2]).view(np.float16).ravel()
    return halves.astype(np.float32)


def _apply(name: str, data: Array, dtype: Dtype) -> Array:
    """Call a function of the package gguf with whole blocks; SpecError if it is not installed."""
    try:
        from gguf import GGMLQuantizationType, quants
    except ImportError as error:
        message = f"computing with {dtype.label} tensors needs the package gguf, which is not installed"
        raise SpecError.of(message, "pip install 'stacker-llm[gguf]'") from error
    with np.errstate(all="ignore"):
        found: Array = getattr(quants, name)(data.reshape(1, -1), GGMLQuantizationType[dtype.label])
    return found.reshape(-1)


@compiled
def _decode_q8_0(blocks: Any, scales: Any, out: Any) -> None:
    for k in range(blocks.shape[0]):
        scale = scales[k]
        for j in range(32):
            out[k * 32 + j] = np.float32(np.int8(blocks[k, 2 + j])) * scale


@compiled
def _find_scales_q8_0(values: Any, scales: Any) -> None:
    for k in range(values.shape[0]):
        largest = np.float32(0)
        for j in range(32):
            largest = max(largest, abs(values[k, j]))
        scales[k] = np.float32(largest / np.float32(127))


@compiled
def _encode_q8_0(values: Any, scales: Any, blocks: Any) -> None:
    """Round half away from zero, as llama.cpp's quantize_row_q8_0_ref."""
    for k in range(values.shape[0]):
        scale = scales[k]
        inverse = np.float32(1) / scale if scale != np.float32(0) else np.float32(0)
        for j in range(32):
            value = np.float32(values[k, j] * inverse)
            size = np.float32(abs(value))
            low = np.float32(np.floor(size))
            whole = low + np.float32(1) if np.float32(size - low) >= np.float32(0.5) else low
            blocks[k, 2 + j] = np.uint8(np.int8(-whole if value < 0 else whole))
