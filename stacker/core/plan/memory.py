"""Resident memory of a build, known from its plan; the sizes here are what executors work by.

Nothing grows with the donors: a build holds its plan, and for arithmetic a few tiles for each worker and what was
compiled.
"""

from __future__ import annotations

from collections.abc import Sequence

from stacker.core.plan.plan import Step
from stacker.core.values.expression import (
    Blend,
    Cast,
    Columns,
    Concat,
    Copy,
    Expression,
    Rows,
    Scale,
    blends,
    inputs,
    is_zero,
)
from stacker.errors import SpecError
from stacker.ops.table import OPS
from stacker.tensors import Dtype

TILE = 1 << 19
"""Elements of a tile, or somewhat fewer where an op wants whole rows: then it is at least one row.

Sums over a tensor are added up tile by tile, so changing this may change output bytes.
"""
KEPT = 1 << 24
"""Bytes that the passes over a tensor may leave for each other."""
MB = 1_000_000
_INTERPRETER = 48 * MB
"""Python with stacker, its parser and its terminal imported; measured."""
_COMPILED = 135 * MB
"""numpy and numba imported, and what is compiled; measured."""
_STEP = 3_600
"""Bytes that a tensor's names, places and header take in plan, donors and tasks; measured."""


def peak_bytes(steps: Sequence[Step], workers: int) -> int:
    """Resident bytes of a build of these steps at its highest."""
    work = max((work_bytes(step) for step in steps), default=0)
    return _INTERPRETER + _STEP * len(steps) + (_COMPILED + workers * work if work else 0)


def workers_within(steps: Sequence[Step], workers: int, most: int | None) -> int:
    """How many of the `workers` fit into `most` bytes (None: all); SpecError when not even one does."""
    if most is None:
        return workers
    for count in range(workers, 0, -1):
        if peak_bytes(steps, count) <= most:
            return count
    needed = -(-peak_bytes(steps, 1) // MB)
    message = f"{most // MB} MB of memory are too few: this build takes {needed} MB with one worker"
    raise SpecError.of(message, f"allow at least --max-memory {needed}MB")


def work_bytes(step: Step) -> int:
    """Bytes that a worker needs to make a step's tensor; 0 where no arithmetic is asked for."""
    if isinstance(step.expression, Concat):
        rows = step.tensor.elements // step.tensor.row
        parts = ((part, width) for _, width, part in step.expression.placed())
        return max(_work(part, step.tensor.dtype, width, rows * width) for part, width in parts)
    return _work(step.expression, step.tensor.dtype, step.tensor.row, step.tensor.elements)


def _work(expression: Expression, dtype: Dtype, row: int, elements: int) -> int:
    if isinstance(expression, Copy | Columns) or is_zero(expression):
        return 0
    width = 8 if dtype is Dtype.F64 else 4
    each = width * (1 + live_tiles(expression)) + op_fresh(expression)
    return max(TILE, tile_elements(expression, row)) * each + op_kept(expression, elements)


def tile_elements(expression: Expression, row: int) -> int:
    """Elements of a tile of a tensor whose rows have `row` elements: whole rows where one of its ops wants them."""
    if not row or not any(OPS[blend.op].whole_rows for blend in blends(expression)):
        return TILE
    return max(TILE // row, 1) * row


def live_tiles(expression: Expression) -> int:
    """Tiles in the arithmetic's own type that are held at once while an expression is evaluated."""
    match expression:
        case Copy() | Columns():
            return 1
        case Cast(of) | Scale(of):
            return live_tiles(of)
        case Blend():
            return max(number + live_tiles(source) for number, source in enumerate(inputs(expression)))
        case Concat(of):
            return max(map(live_tiles, of))
        case Rows(of):
            return 1 + max(map(live_tiles, of), default=0)


def op_fresh(expression: Expression) -> int:
    """The most bytes for each element of a tile that one of an expression's ops takes beside its scratch."""
    return max((OPS[blend.op].extra_bytes for blend in blends(expression)), default=0)


def op_kept(expression: Expression, elements: int) -> int:
    """The most bytes that the passes of its ops leave for each other, of a tensor of so many elements."""
    keeping = (len(blend.of) for blend in blends(expression) if OPS[blend.op].caches_masks)
    return sum(min(KEPT, -(-elements // 8) * sources) for sources in keeping)
