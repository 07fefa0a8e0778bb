"""Reads the stored tensors of quantised weights, and decodes them tile by tile into plain numbers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any

from stacker.core.values.expression import Decoded
from stacker.errors import DonorError
from stacker.formats.quantized_weights import STREAMED, list_part_shapes
from stacker.run.compute.evaluation import TileRange

if TYPE_CHECKING:
    from stacker.arithmetic.backend import Array


class RecentBlocks:
    """Keeps the stored tensors of the blocks that were asked for last, at most two; any thread may use it."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, list[Any]] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], list[Any]]) -> list[Any]:
        """The arrays stored under `key`; if there are none, the result of `make`."""
        with self._lock:
            found = self._kept.pop(key, None)
            self._kept[key] = make() if found is None else found
            while len(self._kept) > 2:
                del self._kept[next(iter(self._kept))]
            return self._kept[key]


def decode_tile(tile_range: TileRange, weight: Decoded, slot: int) -> Array:
    """Decode the elements of `tile_range` into scratch slot number `slot`."""
    from stacker.arithmetic.unpacking import DECODERS

    _, rows, width = weight.shape
    size, end = rows * width, tile_range.start + tile_range.count
    recent: RecentBlocks = tile_range.evaluation.factors.get(weight, RecentBlocks)
    dtype = tile_range.evaluation.compute.places[weight.of[0].tensor].dtype

    def fill(out: Array) -> None:
        for block in range(tile_range.start // size, -(-end // size)):
            low, high = max(tile_range.start, block * size), min(end, (block + 1) * size)
            first, last = low - block * size, high - block * size
            row = first // width
            part = out[low - tile_range.start : high - tile_range.start]
            arrays = recent.get(block, partial(_read_kept, tile_range, weight, block))
            if weight.scheme in STREAMED:
                arrays = [_read_rows(tile_range, weight, block * rows + row, -(-last // width) - row), *arrays]
            DECODERS[weight.scheme](arrays, dtype, weight.settings, (first, width, row), part)

    return tile_range.scratch.fill(slot, tile_range.count, tile_range.kind, fill)


def _read_kept(tile_range: TileRange, weight: Decoded, block: int) -> list[Array]:
    """The stored tensors of one block that are kept in memory: all, except for rows that are read tile by tile."""
    shapes = list_part_shapes(weight.scheme, *weight.shape[1:], weight.settings)
    begin = 1 if weight.scheme in STREAMED else 0
    return [_read_part(tile_range, weight, number, block, shapes[number]) for number in range(begin, len(shapes))]


def _read_rows(tile_range: TileRange, weight: Decoded, row: int, count: int) -> Array:
    """Rows [row, row + count) of the first stored tensor, counted over all blocks."""
    ((_, width), *_) = list_part_shapes(weight.scheme, *weight.shape[1:], weight.settings)
    return _read_part(tile_range, weight, 0, row, (count, width), unit=width)


def _read_part(
    tile_range: TileRange, weight: Decoded, number: int, start: int, shape: tuple[int, ...], unit: int = 0
) -> Array:
    """An array of this shape from stored tensor `number`; it begins at element `start` times `unit`.

    A `unit` of 0 means the number of elements of the shape. DonorError if the tensor ends before.
    """
    import numpy as np

    from stacker.arithmetic.unpacking import convert_part

    place = tile_range.evaluation.compute.places[weight.of[number].tensor]
    begin, nbytes = place.dtype.nbytes(start * (unit or prod(shape))), place.dtype.nbytes(prod(shape))
    if begin + nbytes > place.nbytes:
        raise DonorError.of(f"{weight.of[number].tensor} is smaller than the weight that it is a part of")
    raw = np.empty(nbytes, np.uint8)
    with tile_range.evaluation.sources.lease(place.file) as source:
        source.read_into(raw.data, place.offset + begin)
    return convert_part(weight.scheme, number, raw, place.dtype, shape)
