"""Computes an output tensor tile by tile: reads bytes of donors' files and returns bytes of the output tensor.

A tile is a range of consecutive elements. This module does not handle threads: `rounds` distributes tiles among
threads, and `sums` adds up the sums of all tiles.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from stacker.core.plan.costs import choose_tile, list_reads
from stacker.core.plan.tasks import Compute, TensorBytes
from stacker.core.values.expression import (
    Blend,
    Cast,
    Columns,
    Concat,
    Copy,
    Expression,
    Rows,
    Scale,
    find_blends,
    find_needed_tensors,
    is_zero,
)
from stacker.io.disk.direct import DIRECT_ALIGNMENT
from stacker.ops.shared.op import Kernel, Tile
from stacker.ops.shared.settings import make_kernel
from stacker.ops.table import OPS
from stacker.run.compute.rows import gather_rows
from stacker.run.compute.scratch import Scratch
from stacker.run.compute.sums import BoundedMaskCache
from stacker.run.work.sources import OpenFiles
from stacker.tensors import Dtype

if TYPE_CHECKING:
    from stacker.arithmetic.backend import Array


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The state of computing one tensor; `tile` is the number of elements in a tile.

    `kernels` has the kernel of each blend in the tensor's expression, inner blends first. `statistics` has the results
    of each blend's finished passes, and `masks` has masks that later passes use again.
    """

    compute: Compute
    sources: OpenFiles
    kernels: Mapping[Blend, Kernel]
    statistics: dict[Blend, list[Any]]
    masks: Mapping[Blend, BoundedMaskCache]
    tile: int

    def passes(self) -> Iterator[tuple[Blend, int]]:
        """All passes over the tensor as pairs (blend, number of the pass), in the order in which they must be made."""
        return ((blend, number) for blend, kernel in self.kernels.items() for number in range(len(kernel.passes)))

    def bytes_read(self) -> int:
        """How many donor bytes are read to compute the tensor; every pass reads the donors' tensors again."""
        refs = (ref for reading in list_reads(self.compute.expression) for ref in find_needed_tensors(reading))
        return sum(self.compute.places[ref].dtype.bits for ref in refs) * self.compute.elements // 8

    def finish_pass(self, blend: Blend, number: int, total: Any) -> None:
        """Turn the sums of pass `number` of a blend into the statistic that later passes and the kernel's `apply` use.

        `total` has the sums over all tiles.
        """
        statistics = self.statistics[blend]
        statistics.append(self.kernels[blend].passes[number].finish(total, statistics))


@dataclass(frozen=True, slots=True)
class TileRange:
    """Elements [start, start + count) of a tensor, at most one tile, and the scratch memory to compute them in."""

    evaluation: Evaluation
    scratch: Scratch
    start: int
    count: int

    @property
    def kind(self) -> Dtype:
        """The dtype in which values are computed: fp32 or fp64."""
        return Dtype.F64 if self.evaluation.compute.wide else Dtype.F32


def begin_evaluation(compute: Compute, sources: OpenFiles) -> Evaluation:
    """Prepare to compute a tensor: make the kernels of its blends and choose the tile size; nothing is read yet."""
    kernels = make_kernels(compute.expression)
    tile = choose_tile(compute.expression, compute.row)
    return Evaluation(
        compute,
        sources,
        kernels,
        {blend: [] for blend in kernels},
        {blend: BoundedMaskCache() for blend in kernels},
        tile,
    )


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
    residue = 0 if compute.stride else (compute.offset + tile_range.start * compute.dtype.bits // 8) % DIRECT_ALIGNMENT
    return tile_range.scratch.unload(_value(tile_range, compute.expression, 0), compute.dtype, residue)


def _value(tile_range: TileRange, expression: Expression, slot: int) -> Array:
    """Compute the elements of `tile_range` of an expression in scratch slot number `slot`.

    Slots with higher numbers may be overwritten; slots with lower numbers are left unchanged.
    """
    if is_zero(expression):
        return tile_range.scratch.backend.fill(tile_range.scratch.tile(slot, tile_range.count, tile_range.kind), 0.0)
    match expression:
        case Copy(tensor):
            return _read(tile_range, tile_range.evaluation.compute.places[tensor], slot)
        case Cast(of, dtype):
            return _cast(tile_range, _value(tile_range, of, slot), dtype)
        case Scale():
            return _scale(tile_range, expression, slot)
        case Blend():
            return _blend(tile_range, expression, slot)
        case Columns():
            return _read_columns(tile_range, expression, slot)
        case Concat():
            raise TypeError("the parts of a Concat are computed one by one")
        case Rows():
            home = tile_range.scratch.tile(slot, tile_range.count, tile_range.kind)
            return gather_rows(
                expression, tile_range.start, home, tile_range.scratch.backend, partial(_elements, tile_range, slot + 1)
            )


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


def _cast(tile_range: TileRange, tile: Array, dtype: Dtype) -> Array:
    """Round the values of a tile to `dtype`; the tile stays in the dtype used for computing, fp32 or fp64."""
    if dtype.bits > tile_range.kind.bits:
        return tile
    backend, held = tile_range.scratch.backend, tile_range.scratch.raw(tile_range.count, dtype)
    return backend.convert(tile, backend.convert(held, tile))


def _read(tile_range: TileRange, place: TensorBytes, slot: int) -> Array:
    """Read the elements of `tile_range` from a donor tensor into scratch slot number `slot`.

    `place` says in which file the tensor's bytes are, and at which offset.
    """
    offset = place.offset + tile_range.start * place.dtype.bits // 8
    with tile_range.evaluation.sources.lease(place.file) as source:
        return tile_range.scratch.load(
            slot, tile_range.count, tile_range.kind, place.dtype, lambda view: source.read_into(view, offset)
        )


def _read_columns(tile_range: TileRange, columns: Columns, slot: int) -> Array:
    """Read the elements of `tile_range` from a donor tensor's block of columns into scratch slot number `slot`.

    The bytes are read row by row, because the columns are not contiguous in the donor's file.
    """
    place = tile_range.evaluation.compute.places[columns.tensor]
    size = place.dtype.bits // 8
    width, stride = columns.count * size, columns.width * size

    def read(view: memoryview) -> None:
        row, column = divmod(tile_range.start * size, width)
        begin_of_row = place.offset + columns.start * size + row * stride
        begin = -column
        while begin < len(view):
            low, high = max(begin, 0), min(begin + width, len(view))
            source.read_into(view[low:high], begin_of_row + low - begin)
            begin, begin_of_row = begin + width, begin_of_row + stride

    with tile_range.evaluation.sources.lease(place.file) as source:
        return tile_range.scratch.load(slot, tile_range.count, tile_range.kind, place.dtype, read)


def make_kernels(expression: Expression) -> dict[Blend, Kernel]:
    """The kernel of each blend in an expression; inner blends come before the blends that contain them.

    Equal blends share one kernel.
    """
    return {
        blend: make_kernel(OPS[blend.op], dict(blend.parameters), blend.source_values())
        for blend in find_blends(expression)
    }
