"""Multiplies small blocks of matrices with all sums in the processor's registers, which numba's own loops cannot do.

The code is built with llvmlite. As in numba's loops, nothing is contracted, and every element is summed in the order of
the rank, so that the bits are the same on all CPUs, also on those whose registers are narrower.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils, types
from numba.extending import intrinsic

ROWS, COLUMNS = 4, 64
"""The size of a block of the product."""
_LANES = 16
"""The elements of a vector; LLVM divides vectors that are wider than the registers."""
_INT = ir.IntType(64)


def _find_types(typing_context: Any, left: Any, row: Any, panel: Any, total: Any) -> Any:
    del typing_context
    return types.void(left, row, panel, total), _generate


def _generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    kinds = signature.args
    left, panel, total = (context.make_array(kinds[k])(context, builder, arguments[k]) for k in (0, 2, 3))
    element, size = context.get_data_type(kinds[0].dtype), kinds[0].dtype.bitwidth // 8
    vector, places = ir.VectorType(element, _LANES), range(0, COLUMNS, _LANES)
    ranks = builder.extract_value(left.shape, 1)
    first = builder.mul(builder.sext(arguments[1], _INT) if arguments[1].type.width < 64 else arguments[1], ranks)
    zeros = ir.Constant(vector, [0.0] * _LANES)
    alloca: Any = cgutils.alloca_once_value  # numba has no types
    sums = [[alloca(builder, zeros) for _ in places] for _ in range(ROWS)]
    for own in (each for line in sums for each in line):
        builder.store(zeros, own)
    with cgutils.for_range(builder, ranks) as loop:
        begin = builder.mul(loop.index, _INT(COLUMNS))
        others = [
            builder.load(_point(builder, panel.data, builder.add(begin, _INT(place)), vector), align=size)
            for place in places
        ]
        for number, line in enumerate(sums):
            index = builder.add(builder.add(first, builder.mul(_INT(number), ranks)), loop.index)
            factor = _spread(builder, builder.load(builder.gep(left.data, [index])), vector)
            for own, other in zip(line, others, strict=True):
                builder.store(builder.fadd(builder.load(own), builder.fmul(factor, other)), own)
    for number, line in enumerate(sums):
        for place, own in zip(places, line, strict=True):
            target = _point(builder, total.data, _INT(number * COLUMNS + place), vector)
            builder.store(builder.load(own), target, align=size)
    return context.get_dummy_value()


def _point(builder: Any, data: Any, index: Any, vector: Any) -> Any:
    """A pointer to the vector that begins at element `index`."""
    return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())


def _spread(builder: Any, number: Any, vector: Any) -> Any:
    """A vector all of whose elements are `number`."""
    nothing = ir.Constant(vector, ir.Undefined)
    alone = builder.insert_element(nothing, number, ir.IntType(32)(0))
    return builder.shuffle_vector(
        alone, nothing, ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    )


multiply_block: Any = intrinsic(_find_types)
"""A compiled function of (left, row, panel, total): writes rows [row, row + ROWS) of left · panel to `total`.

`left` is [rows, rank], `panel` [rank, COLUMNS] and `total` [ROWS, COLUMNS]; all are contiguous, of one float type.
"""
