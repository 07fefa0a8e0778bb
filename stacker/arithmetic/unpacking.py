"""Decodes quantised weights of safetensors files: tiles of plain numbers from the bytes of the stored tensors.

What is stored, and the names of the schemes, are described in `stacker.formats.quantized_weights`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from stacker.arithmetic.jit import compiled
from stacker.arithmetic.narrow import VALUES
from stacker.errors import DonorError
from stacker.tensors import Dtype

Array = np.ndarray[Any, np.dtype[Any]]
Numbers = Sequence[int]
_FP4 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6])
"""The numbers of fp4 (e2m1), in the order of their bits; the standard is OCP Microscaling Formats, version 1.0."""
_POWERS = 2.0 ** (np.arange(256, dtype=np.float64) - 127)
_BYTES = VALUES | {np.dtype(np.int8): np.arange(256, dtype=np.uint8).view(np.int8).astype(np.float32)}
_INT8_STEP = 7.874015718698502e-3
"""1 / 127, as bitsandbytes writes it."""
_SCALES = {Dtype.BF16, Dtype.F16, Dtype.F32}
_VIEWS = {dtype: np.dtype(dtype.torch_name) for dtype in _SCALES} | {Dtype.I32: np.dtype(np.uint32)}
_AWQ_PLACES = np.array([0, 4, 1, 5, 2, 6, 3, 7])
"""Where in a word each of eight neighbouring outputs is, counted in groups of 4 bits."""


def convert_part(scheme: str, number: int, raw: Array, dtype: Dtype, shape: tuple[int, ...]) -> Array:
    """The bytes of part number `number` of a weight as an array; scales become fp32.

    Parts of type U8 are kept as bytes, but block scales of type U8 are exponents.
    """
    if scheme == "scaled" and number and dtype in (Dtype.U8, Dtype.F8_E8M0):
        powers: Array = _POWERS[raw].astype(np.float32).reshape(shape)
        return powers
    if scheme == "nvfp4" and number == 1:
        scales: Array = VALUES[np.dtype(dtype.torch_name)][raw].reshape(shape)
        return scales
    found = raw.view(_VIEWS.get(dtype, np.dtype(np.uint8)))
    return (found.astype(np.float32) if dtype in _SCALES else found).reshape(shape)


def decode_scaled(parts: Sequence[Array], dtype: Dtype, settings: Numbers, place: Numbers, out: Array) -> None:
    """Numbers of 8 bits times the scales of their blocks; the first part has the rows from the tile's first on."""
    first, width, row = place
    codes = parts[0].reshape(-1)[first - row * width :]
    scales = parts[1]
    name = np.dtype(np.int8) if dtype is Dtype.I8 else np.dtype(dtype.torch_name)
    _decode_scaled(codes, _BYTES[name], scales, first, width, settings[0], settings[1], out)


def decode_int8(parts: Sequence[Array], dtype: Dtype, settings: Numbers, place: Numbers, out: Array) -> None:
    """Numbers of 8 bits times the largest magnitude of their row, over 127, in the order of bitsandbytes' products."""
    del settings
    if parts[2].any():
        message = "the numbers are in the order of an old version of bitsandbytes"
        raise DonorError.of(message, "load it with that version, and save it dequantised")
    decode_scaled(parts, dtype, (1, place[1]), place, out)
    out *= np.float32(_INT8_STEP)


def decode_fp4(parts: Sequence[Array], dtype: Dtype, settings: Numbers, place: Numbers, out: Array) -> None:
    """Pairs of one of 16 numbers, the first in the upper bits, times the largest magnitude of their block."""
    del dtype
    first, width, row = place
    length, _, nested = settings
    offset = _read_offset(parts[-1], width, length, nested=bool(nested))
    largest = parts[1]
    if nested:
        begin, end = first // length, -(-(first + len(out)) // length)
        inner = parts[4][largest[begin:end]] * parts[3][np.arange(begin, end) // 256]
        largest = np.zeros(end, np.float32)
        largest[begin:] = inner + offset
    _decode_fp4(parts[0].reshape(-1), largest, parts[2], length, first, row * width // 2, out)


def _read_offset(raw: Array, width: int, length: int, *, nested: bool) -> np.float32:
    """The offset of nested magnitudes from what bitsandbytes states of a weight beside its tensors; else 0.

    DonorError if something else is stated than what the tensors say.
    """
    try:
        state = json.loads(raw.tobytes())
        sizes = state["shape"][-1], state["blocksize"], state.get("nested_blocksize", 256)
        with np.errstate(over="ignore"):
            offset = np.float32(state["nested_offset"] if nested else 0)
        if sizes == (width, length, 256) and np.isfinite(offset):
            return offset
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError):
        pass
    raise DonorError.of("what is stated of the 4-bit numbers does not fit them", "fetch the donor again")


def decode_mxfp4(parts: Sequence[Array], dtype: Dtype, settings: Numbers, place: Numbers, out: Array) -> None:
    """Pairs of fp4 numbers with an exponent for each 32, written transposed."""
    del dtype, settings
    _decode_mxfp4(parts[0], parts[1], _FP4, _POWERS, place[0], place[1], out)


def decode_nvfp4(parts: Sequence[Array], dtype: Dtype, settings: Numbers, place: Numbers, out: Array) -> None:
    """Pairs of fp4 numbers, times the scale of each 16, times or by the scale of the weight."""
    del dtype
    first, width, row = place
    whole = parts[2][0, 0]
    _decode_nvfp4(parts[0], parts[1], _FP4, whole, settings[0] == 1, first, width, row, out)


def decode_gptq(parts: Sequence[Array], dtype: Dtype, settings: Numbers, place: Numbers, out: Array) -> None:
    """(q - zero) · scale, each input having the zero and the scale of its group."""
    del dtype
    words, zeros, scales, groups = parts
    if len(groups) and groups.max() >= len(scales):  # numbers below 0 are large ones here
        raise DonorError.of("an input has a group (g_idx) for which there are no scales", "fetch the donor again")
    _decode_gptq(words, zeros, scales, groups, settings[0], settings[2], place[0], place[1], out)


def decode_awq(parts: Sequence[Array], dtype: Dtype, settings: Numbers, place: Numbers, out: Array) -> None:
    """(q - zero) · scale of 4-bit numbers in the order of AWQ's kernel `gemm`."""
    del dtype
    words, zeros, scales = parts
    _decode_awq(words, zeros, scales, settings[0], _AWQ_PLACES, place[0], place[1], out)


def decode_packed(parts: Sequence[Array], dtype: Dtype, settings: Numbers, place: Numbers, out: Array) -> None:
    """Symmetric integers in words along the rows, times the scales of their groups."""
    del dtype
    first, width, row = place
    _decode_packed(parts[0], parts[1], settings[0], settings[1], first, width, row, out)


Decode = Callable[[Sequence[Array], Dtype, Numbers, Numbers, Array], None]
DECODERS: Mapping[str, Decode] = {
    "scaled": decode_scaled,
    "int8": decode_int8,
    "fp4": decode_fp4,
    "mxfp4": decode_mxfp4,
    "nvfp4": decode_nvfp4,
    "gptq": decode_gptq,
    "awq": decode_awq,
    "packed": decode_packed,
}
"""By scheme, the function that writes the elements of a block from number `place[0]` on to an array.

`place` also has the row length, and the number of the first row that is in the first part. The dtype is that of the
first part.
"""


@compiled
def _decode_scaled(
    codes: Any, values: Any, scales: Any, first: Any, width: Any, high: Any, wide: Any, out: Any
) -> None:
    k, row, column = 0, first // width, first % width
    while k < out.size:
        stop = min(out.size, k + width - column, k + wide - column % wide)
        scale = scales[row // high, column // wide]
        for j in range(k, stop):
            out[j] = values[codes[j]] * scale
        column += stop - k
        k = stop
        if column == width:
            row, column = row + 1, 0


@compiled
def _decode_fp4(pairs: Any, largest: Any, values: Any, length: Any, first: Any, begin: Any, out: Any) -> None:
    for k in range(out.size):
        place = first + k
        code = (pairs[place // 2 - begin] >> (4 - place % 2 * 4)) & 15
        out[k] = values[code] * largest[place // length]


@compiled
def _decode_mxfp4(blocks: Any, scales: Any, values: Any, powers: Any, first: Any, width: Any, out: Any) -> None:
    k, place = 0, first
    while k < out.size:
        column, row = place // width, place % width
        stop = min(out.size, k + width - row)
        group, byte, shift = column // 32, column % 32 // 2, column % 2 * 4
        for j in range(k, stop):
            code = (blocks[row, group, byte] >> shift) & 15
            out[j] = values[code] * powers[scales[row, group]]
            row += 1
        place += stop - k
        k = stop


@compiled
def _decode_nvfp4(
    pairs: Any, scales: Any, values: Any, whole: Any, multiplies: Any, first: Any, width: Any, begin: Any, out: Any
) -> None:
    k = 0
    while k < out.size:
        row, column = (first + k) // width, (first + k) % width
        stop = min(out.size, k + 16 - column % 16)
        own = scales[row, column // 16]
        scale = np.float32(own * whole) if multiplies else np.float32(own / whole)
        for j in range(k, stop):
            code = (pairs[row - begin, column // 2] >> (column % 2 * 4)) & 15
            out[j] = values[code] * scale
            column += 1
        k = stop


@compiled
def _decode_gptq(
    words: Any, zeros: Any, scales: Any, groups: Any, bits: Any, added: Any, first: Any, width: Any, out: Any
) -> None:
    count, mask = 32 // bits, (1 << bits) - 1
    for k in range(out.size):
        row, column = (first + k) // width, (first + k) % width
        group = np.int64(groups[column])
        value = (np.int64(words[column // count, row]) >> (bits * (column % count))) & mask
        zero = (((np.int64(zeros[group, row // count]) >> (bits * (row % count))) & mask) + added) & mask
        out[k] = np.float32(value - zero) * scales[group, row]


@compiled
def _decode_awq(
    words: Any, zeros: Any, scales: Any, length: Any, places: Any, first: Any, width: Any, out: Any
) -> None:
    for k in range(out.size):
        row, column = (first + k) // width, (first + k) % width
        group, shift = column // length, 4 * places[row % 8]
        value = (np.int64(words[column, row // 8]) >> shift) & 15
        zero = (np.int64(zeros[group, row // 8]) >> shift) & 15
        out[k] = np.float32(value - zero) * scales[group, row]


@compiled
def _decode_packed(
    words: Any, scales: Any, bits: Any, length: Any, first: Any, width: Any, begin: Any, out: Any
) -> None:
    count, mask, half = 32 // bits, (1 << bits) - 1, 1 << (bits - 1)
    for k in range(out.size):
        row, column = (first + k) // width, (first + k) % width
        value = (np.int64(words[row - begin, column // count]) >> (bits * (column % count))) & mask
        out[k] = np.float32(value - half) * scales[row, column // length]
