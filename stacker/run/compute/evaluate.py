"""Computes an output tensor tile by tile: reads bytes of donors' files and returns bytes of the output tensor.

A tile is a range of consecutive elements. This module does not handle threads: `rounds` distributes tiles among
threads, and `sums` adds up the sums of all tiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from stacker.core.plan.block_types import find_rescaled
from stacker.core.plan.tasks import TensorBytes
from stacker.core.values.expression import (
    Blend,
    Cast,
    Columns,
    Concat,
    Copy,
    Decoded,
    Expression,
    LowRank,
    Rescale,
    Rows,
    Scale,
)
from stacker.core.values.expression_parts import is_zero
from stacker.io.disk.direct import DIRECT_ALIGNMENT
from stacker.ops.shared.op import Tile
from stacker.run.compute.decoding import decode_tile
from stacker.run.compute.evaluation import TileRange
from stacker.run.compute.factors import add_product, divide_lengths, load_factors
from stacker.run.compute.rows import gather_rows
from stacker.tensors import Dtype, TensorRef

if TYPE_CHECKING:
    from stacker.arithmetic.backend import Array


def measure_tile(
    tile_range: TileRange, blend: Blend, number: int, total: Array | None = None
) -> Sequence[float] | Array:
    """The sums of pass `number` of a blend over one tile: a list of numbers, or one array.

    An array also includes the sums of all earlier tiles, which are in `total` (None for the first tile).
    """
    evaluation = tile_range.evaluation
    tile = replace(_inputs(tile_range, blend, 0), total=total)
    return evaluation.kernels[blend].passes[number].measure(tile, evaluation.statistics[blend])


def compute_tile(tile_range: TileRange) -> memoryview:
    """Compute a tile of the output tensor and return its bytes.

    The bytes are valid until the scratch memory is used again.
    """
    compute = tile_range.evaluation.compute
    residue = 0 if compute.stride else (compute.offset + compute.dtype.nbytes(tile_range.start)) % DIRECT_ALIGNMENT
    scaled = find_rescaled(compute.expression)
    if scaled and compute.places[scaled].dtype == compute.dtype and compute.dtype.block > 1:
        return _rescale_blocks(tile_range, compute.places[scaled], residue)
    return tile_range.scratch.unload(_value(tile_range, compute.expression, 0), compute.dtype, residue)


def _rescale_blocks(tile_range: TileRange, place: TensorBytes, residue: int) -> memoryview:
    """The blocks of a donor tensor with their scales multiplied by the factor of the tensor's expression."""
    scale = tile_range.evaluation.compute.expression
    assert isinstance(scale, Scale)
    offset = place.offset + place.dtype.nbytes(tile_range.start)
    with tile_range.evaluation.sources.lease(place.file) as source:
        return tile_range.scratch.rescale(
            tile_range.count, place.dtype, scale.factor, residue, lambda view: source.read_into(view, offset)
        )


def _value(tile_range: TileRange, expression: Expression, slot: int) -> Array:
    """Compute the elements of `tile_range` of an expression in scratch slot number `slot`.

    Slots with higher numbers may be overwritten; slots with lower numbers are left unchanged.
    """
    if is_zero(expression):
        return tile_range.scratch.backend.fill(tile_range.scratch.tile(slot, tile_range.count, tile_range.kind), 0.0)
    match expression:
        case Copy() | Columns() | Decoded():
            return _read_stored(tile_range, expression, slot)
        case Cast(of, dtype):
            return _cast(tile_range, _value(tile_range, of, slot), dtype)
        case Scale():
            return _scale(tile_range, expression, slot)
        case Blend():
            return _blend(tile_range, expression, slot)
        case Concat():
            raise TypeError("the parts of a Concat are computed one by one")
        case Rows():
            home = tile_range.scratch.tile(slot, tile_range.count, tile_range.kind)
            return gather_rows(
                expression, tile_range.start, home, tile_range.scratch.backend, partial(_elements, tile_range, slot + 1)
            )
        case LowRank() | Rescale():
            return _adapt(tile_range, expression, slot)


def _read_stored(tile_range: TileRange, expression: Copy | Columns | Decoded, slot: int) -> Array:
    match expression:
        case Copy(tensor):
            return _read(tile_range, tile_range.evaluation.compute.places[tensor], slot)
        case Columns():
            return _read_columns(tile_range, expression, slot)
        case Decoded():
            return decode_tile(tile_range, expression, slot)


def _elements(tile_range: TileRange, slot: int, expression: Expression, start: int, count: int) -> Array:
    """Compute elements [start, start + count) of `expression` in scratch slot number `slot`.

    `tile_range` provides the evaluation and the scratch memory; its own range of elements is not used.
    """
    return _value(replace(tile_range, start=start, count=count), expression, slot)


def _scale(tile_range: TileRange, scale: Scale, slot: int) -> Array:
    scratch = tile_range.scratch
    scaled = scratch.backend.combine([scale.factor], [_value(tile_range, scale.of, slot)])
    if not scale.offset:
        return scaled
    shift = scratch.backend.fill(
        scratch.tile(slot + 1, tile_range.count, tile_range.kind), scale.offset * (scale.factor - 1.0)
    )
    return scratch.backend.add(scaled, shift)


def _blend(tile_range: TileRange, blend: Blend, slot: int) -> Array:
    evaluation = tile_range.evaluation
    tile = _inputs(tile_range, blend, slot)
    home, result = tile.sources[0], evaluation.kernels[blend].apply(tile, evaluation.statistics[blend])
    return home if home is result else tile.backend.convert(home, result)


def _inputs(tile_range: TileRange, blend: Blend, slot: int) -> Tile:
    tiles = [_value(tile_range, source, slot + number) for number, source in enumerate(blend.children())]
    evaluation = tile_range.evaluation
    compute, tile = evaluation.compute, evaluation.tile
    return Tile(
        sources=tiles[: len(blend.of)],
        base=None if blend.base is None else tiles[-1],
        backend=tile_range.scratch.backend,
        masks=evaluation.masks[blend],
        start=tile_range.start,
        number=tile_range.start // tile,
        count=-(-compute.elements // tile),
        row=compute.row or compute.elements,
        seed=blend.seed,
    )


def _adapt(tile_range: TileRange, expression: LowRank | Rescale, slot: int) -> Array:
    """Compute a tensor that an adapter changes."""
    if isinstance(expression, LowRank):
        return _add_product(tile_range, expression, slot)
    return _rescale(tile_range, expression, slot)


def _add_product(tile_range: TileRange, product: LowRank, slot: int) -> Array:
    evaluation, backend = tile_range.evaluation, tile_range.scratch.backend
    load = partial(_load, tile_range)
    factors = evaluation.factors.get(product, lambda: load_factors(product, load, backend))
    return add_product(product, tile_range.start, _value(tile_range, product.of, slot), factors, backend)


def _rescale(tile_range: TileRange, rescale: Rescale, slot: int) -> Array:
    """Scale the rows or columns of a tile, which must consist of whole rows."""
    evaluation, backend, width = tile_range.evaluation, tile_range.scratch.backend, rescale.width
    cache = evaluation.factors
    lengths = cache.get(rescale.lengths, lambda: backend.to_numpy(_load(tile_range, rescale.lengths.tensor)))
    if rescale.columns:
        squares = cache.get(rescale, lambda: _sum_columns(tile_range, rescale, slot))
        tile = _value(tile_range, rescale.of, slot)
        return backend.combine_columns(divide_lengths(lengths, squares), [tile], width)
    tile = _value(tile_range, rescale.of, slot)
    squares = backend.row_inner_products([tile], width)
    first = tile_range.start // width
    return backend.combine_rows(divide_lengths(lengths[first:], squares), [tile], width)


def _sum_columns(tile_range: TileRange, rescale: Rescale, slot: int) -> Any:
    """The sums of the squares of the elements of each column of a matrix."""
    backend, total, elements = tile_range.scratch.backend, None, rescale.rows * rescale.width
    for start in range(0, elements, tile_range.evaluation.tile):
        tile = _elements(tile_range, slot, rescale.of, start, min(tile_range.evaluation.tile, elements - start))
        total = backend.column_inner_products([tile], rescale.width, total)
    return backend.to_numpy(total)


def _load(tile_range: TileRange, tensor: TensorRef) -> Array:
    """Read a whole donor tensor into an array of its own."""
    place = tile_range.evaluation.compute.places[tensor]
    with tile_range.evaluation.sources.lease(place.file) as source:
        return tile_range.scratch.keep(
            place.nbytes // place.dtype.size * place.dtype.block,
            tile_range.kind,
            place.dtype,
            lambda view: source.read_into(view, place.offset),
        )


def _cast(tile_range: TileRange, tile: Array, dtype: Dtype) -> Array:
    """Round the values of a tile to `dtype`; the tile stays in the dtype used for computing, fp32 or fp64."""
    if dtype.block > 1:
        return tile_range.scratch.round_blocks(tile, dtype)
    if dtype.bits > tile_range.kind.bits:
        return tile
    backend, held = tile_range.scratch.backend, tile_range.scratch.raw(tile_range.count, dtype)
    return backend.convert(tile, backend.convert(held, tile))


def _read(tile_range: TileRange, place: TensorBytes, slot: int) -> Array:
    """Read the elements of `tile_range` from a donor tensor into scratch slot number `slot`.

    `place` says in which file the tensor's bytes are, and at which offset.
    """
    offset = place.offset + place.dtype.nbytes(tile_range.start)
    with tile_range.evaluation.sources.lease(place.file) as source:
        return tile_range.scratch.load(
            slot, tile_range.count, tile_range.kind, place.dtype, lambda view: source.read_into(view, offset)
        )


def _read_columns(tile_range: TileRange, columns: Columns, slot: int) -> Array:
    """Read the elements of `tile_range` from a donor tensor's block of columns into scratch slot number `slot`.

    The bytes are read row by row, because the columns are not contiguous in the donor's file.
    """
    place = tile_range.evaluation.compute.places[columns.tensor]
    dtype = place.dtype
    width, stride = dtype.nbytes(columns.count), dtype.nbytes(columns.width)

    def read(view: memoryview) -> None:
        row, column = divmod(dtype.nbytes(tile_range.start), width)
        begin_of_row = place.offset + dtype.nbytes(columns.start) + row * stride
        begin = -column
        while begin < len(view):
            low, high = max(begin, 0), min(begin + width, len(view))
            source.read_into(view[low:high], begin_of_row + low - begin)
            begin, begin_of_row = begin + width, begin_of_row + stride

    with tile_range.evaluation.sources.lease(place.file) as source:
        return tile_range.scratch.load(slot, tile_range.count, tile_range.kind, place.dtype, read)
