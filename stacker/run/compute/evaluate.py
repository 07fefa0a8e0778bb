"""An expression's value, tile by tile: donors' bytes in, the output tensor's bytes out.

Statistics that an op needs of a whole tensor are a `tally`'s, which neither threads nor their order change by a bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from stacker.core.plan.kernels import kernels_of, readings
from stacker.core.plan.memory import tile_elements
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
    inputs,
    is_zero,
    needed,
)
from stacker.io.disk.copies import read_into
from stacker.io.disk.direct import DIRECT_ALIGNMENT
from stacker.ops.shared.op import Kernel, Tile
from stacker.run.compute.rows import gather_rows
from stacker.run.compute.scratch import Scratch
from stacker.run.compute.sums import MaskCache
from stacker.run.work.sources import OpenFiles
from stacker.tensors import Dtype

if TYPE_CHECKING:
    from stacker.arithmetic.interface import Array


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A tensor to compute, the kernels of its blends (inner ones first), and what the passes so far came to."""

    compute: Compute
    sources: OpenFiles
    kernels: Mapping[Blend, Kernel]
    known: dict[Blend, list[Any]]
    kept: Mapping[Blend, MaskCache]
    tile: int

    def passes(self) -> Iterator[tuple[Blend, int]]:
        """Every pass that is needed before the tensor can be made, in an order in which they can be made."""
        return ((blend, number) for blend, kernel in self.kernels.items() for number in range(len(kernel.passes)))

    def bytes_read(self) -> int:
        """Bytes of donors that making the tensor takes, all passes included."""
        refs = (ref for each in readings(self.compute.expression) for ref in needed(each))
        return sum(self.compute.places[ref].dtype.bits for ref in refs) * self.compute.elements // 8

    def finish_pass(self, blend: Blend, number: int, total: Any) -> None:
        """Make of a pass's sums over all tiles what is to be known of them."""
        known = self.known[blend]
        known.append(self.kernels[blend].passes[number].finish(total, known))


@dataclass(frozen=True, slots=True)
class TileRange:
    """Elements [start, start + count) of a tensor under evaluation, at most a tile of them, and where to hold them."""

    evaluation: Evaluation
    scratch: Scratch
    start: int
    count: int

    @property
    def kind(self) -> Dtype:
        """The type of the arithmetic."""
        return Dtype.F64 if self.evaluation.compute.wide else Dtype.F32


def begin_evaluation(compute: Compute, sources: OpenFiles) -> Evaluation:
    """An evaluation of which nothing is known yet."""
    kernels = kernels_of(compute.expression)
    tile = tile_elements(compute.expression, compute.row)
    return Evaluation(
        compute, sources, kernels, {blend: [] for blend in kernels}, {blend: MaskCache() for blend in kernels}, tile
    )


def measure(tile_range: TileRange, blend: Blend, number: int, total: Array | None = None) -> Sequence[float] | Array:
    """The sums of a blend's pass `number` over the stretch; arrays are added to `total`."""
    evaluation = tile_range.evaluation
    tile = replace(_inputs(tile_range, blend, 0), total=total)
    return evaluation.kernels[blend].passes[number].measure(tile, evaluation.known[blend])


def make(tile_range: TileRange) -> memoryview:
    """The output's bytes; they lie in the scratch until its next use."""
    compute = tile_range.evaluation.compute
    residue = 0 if compute.stride else (compute.offset + tile_range.start * compute.dtype.bits // 8) % DIRECT_ALIGNMENT
    return tile_range.scratch.unload(_value(tile_range, compute.expression, 0), compute.dtype, residue)


def _value(tile_range: TileRange, expression: Expression, slot: int) -> Array:
    """The tile of an expression, in `slot` of the scratch; later slots are used on the way, earlier ones stay."""
    if is_zero(expression):
        return tile_range.scratch.on.fill(tile_range.scratch.tile(slot, tile_range.count, tile_range.kind), 0.0)
    match expression:
        case Copy(tensor):
            return _read(tile_range, tile_range.evaluation.compute.places[tensor], slot)
        case Cast(of, dtype):
            return _cast(tile_range, _value(tile_range, of, slot), dtype)
        case Scale(of, factor):
            return tile_range.scratch.on.combine([factor], [_value(tile_range, of, slot)])
        case Blend():
            return _blend(tile_range, expression, slot)
        case Columns():
            return _read_columns(tile_range, expression, slot)
        case Concat():
            raise TypeError("tables side by side are computed one by one")
        case Rows():
            home = tile_range.scratch.tile(slot, tile_range.count, tile_range.kind)
            return gather_rows(
                expression, tile_range.start, home, tile_range.scratch.on, partial(_elements, tile_range, slot + 1)
            )


def _elements(tile_range: TileRange, slot: int, expression: Expression, start: int, count: int) -> Array:
    """Other elements than the stretch's, for a source with another number of rows."""
    return _value(replace(tile_range, start=start, count=count), expression, slot)


def _blend(tile_range: TileRange, blend: Blend, slot: int) -> Array:
    evaluation = tile_range.evaluation
    tile = _inputs(tile_range, blend, slot)
    home, result = tile.sources[0], evaluation.kernels[blend].apply(tile, evaluation.known[blend])
    return home if home is result else tile.on.convert(home, result)


def _inputs(tile_range: TileRange, blend: Blend, slot: int) -> Tile:
    tiles = [_value(tile_range, source, slot + number) for number, source in enumerate(inputs(blend))]
    evaluation = tile_range.evaluation
    compute, tile = evaluation.compute, evaluation.tile
    return Tile(
        sources=tiles[: len(blend.of)],
        base=None if blend.base is None else tiles[-1],
        on=tile_range.scratch.on,
        kept=evaluation.kept[blend],
        start=tile_range.start,
        number=tile_range.start // tile,
        count=-(-compute.elements // tile),
        row=compute.row or compute.elements,
        seed=blend.seed,
    )


def _cast(tile_range: TileRange, tile: Array, dtype: Dtype) -> Array:
    """The values as another type would hold them."""
    if dtype.bits > tile_range.kind.bits:
        return tile
    on, held = tile_range.scratch.on, tile_range.scratch.raw(tile_range.count, dtype)
    return on.convert(tile, on.convert(held, tile))


def _read(tile_range: TileRange, place: TensorBytes, slot: int) -> Array:
    """Elements of a donor tensor."""
    offset = place.offset + tile_range.start * place.dtype.bits // 8
    with tile_range.evaluation.sources.lease(place.file) as fd:
        return tile_range.scratch.load(
            slot, tile_range.count, tile_range.kind, place.dtype, lambda view: read_into(fd, view, offset)
        )


def _read_columns(tile_range: TileRange, columns: Columns, slot: int) -> Array:
    """Elements of some columns of a donor tensor, row by row."""
    place = tile_range.evaluation.compute.places[columns.tensor]
    size = place.dtype.bits // 8
    width, stride = columns.count * size, columns.width * size

    def read(view: memoryview) -> None:
        row, column = divmod(tile_range.start * size, width)
        source = place.offset + columns.start * size + row * stride
        begin = -column
        while begin < len(view):
            low, high = max(begin, 0), min(begin + width, len(view))
            read_into(fd, view[low:high], source + low - begin)
            begin, source = begin + width, source + stride

    with tile_range.evaluation.sources.lease(place.file) as fd:
        return tile_range.scratch.load(slot, tile_range.count, tile_range.kind, place.dtype, read)
