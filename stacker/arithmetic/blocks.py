"""Decodes and encodes the quantised types of GGUF files, whose blocks of elements share a scale.

Q8_0 is compiled here; all other types are left to the package gguf. Both round as llama.cpp does.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stacker.arithmetic import narrow
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
        _decode_q8_0(blocks[:, 2:].view(np.int8), _read_halves(blocks, 0), target.reshape(-1, dtype.block))
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
        largest = np.empty(len(rows), np.uint32)
        _find_largest(rows.view(np.uint32), largest)
        scales = largest.view(np.float32) / np.float32(127)
        _write_halves(blocks, 0, scales)
        _encode_q8_0(rows, scales, blocks[:, 2:].view(np.int8))
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
            scaled = before * np.float32(factor)
        _write_halves(blocks, place, scaled)
        if not np.isfinite(_read_halves(blocks, place)[np.isfinite(before)]).all():
            raise SpecError.of(
                f"times {factor}, the scales of {dtype.label} blocks exceed fp16", "use a smaller factor"
            )


def _read_halves(blocks: Array, place: int) -> Array:
    """The fp16 numbers at byte `place` of each block, as fp32; `place` and the size of a block are even."""
    found = np.empty(len(blocks), np.float32)
    narrow.widen_half(blocks.view(np.uint16)[:, place // 2].copy(), found)
    return found


def _write_halves(blocks: Array, place: int, values: Array) -> None:
    """Round fp32 numbers to fp16, and write them at byte `place` of each block; `place` and the size are even."""
    halves = np.empty(len(blocks), np.uint16)
    narrow.narrow(values.view(np.uint32), narrow.FORMS[np.dtype(np.float16)], halves)
    blocks.view(np.uint16)[:, place // 2] = halves


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


# The loops below end at the shapes of their arrays, not at 32: a loop of known length is unrolled, and not vectorised.


@compiled
def _decode_q8_0(codes: Any, scales: Any, out: Any) -> None:
    for k in range(out.shape[0]):
        scale, own, values = scales[k], codes[k], out[k]
        for j in range(out.shape[1]):
            values[j] = np.float32(own[j]) * scale


@compiled
def _find_largest(bits: Any, largest: Any) -> None:
    """Write the bits of the greatest magnitude of each row of fp32 numbers, given as bits; NaN is greater than all."""
    for k in range(bits.shape[0]):
        found, own = np.uint32(0), bits[k]
        for j in range(bits.shape[1]):
            found = max(found, own[j] & np.uint32(0x7FFFFFFF))
        largest[k] = found


@compiled
def _encode_q8_0(values: Any, scales: Any, codes: Any) -> None:
    """Round half away from zero, as llama.cpp's quantize_row_q8_0_ref."""
    for k in range(values.shape[0]):
        scale, own, rounded = scales[k], values[k], codes[k]
        inverse = np.float32(1) / scale if scale != np.float32(0) else np.float32(0)
        for j in range(values.shape[1]):
            value = np.float32(own[j] * inverse)
            size = np.float32(abs(value))
            low = np.float32(np.floor(size))
            whole = low + np.float32(1) if np.float32(size - low) >= np.float32(0.5) else low
            rounded[j] = np.int8(-whole if value < 0 else whole)
