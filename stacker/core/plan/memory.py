"""Resident memory of a build, predicted from its plan; executors size their scratch memory by the numbers here.

Memory does not grow with the donors: a build holds its plan and, for arithmetic, compiled code and tiles.
"""

from __future__ import annotations

from collections.abc import Sequence

from stacker.core.plan.plan import Step
from stacker.core.values.expression import Blend, Columns, Concat, Copy, Expression, Rows, find_blends, is_zero
from stacker.errors import SpecError
from stacker.ops.table import OPS
from stacker.tensors import Dtype

TILE = 1 << 19
"""Elements of a tile; where an op needs whole rows, the largest number of whole rows below that, at least one.

Sums over a tensor are added up tile by tile, so changing this may change output bytes.
"""
MASK_CACHE = 1 << 24
"""The most bytes of masks that are kept between the passes over a tensor."""
MB = 1_000_000
_INTERPRETER = 48 * MB
"""Python with stacker, its parser and its terminal output imported; measured."""
_COMPILED = 135 * MB
"""numpy, numba and the compiled functions; measured."""
_STEP = 3_600
"""A tensor's names, places and header entry in plan, donors and tasks; measured."""


def peak_bytes(steps: Sequence[Step], workers: int) -> int:
    """The most resident bytes of a build of these steps."""
    return _peak(len(steps), _largest_work(steps), workers)


def workers_within(steps: Sequence[Step], workers: int, max_memory: int | None) -> int:
    """How many of `workers` fit into `max_memory` bytes (None: all of them); SpecError if not even one does."""
    if max_memory is None:
        return workers
    work = _largest_work(steps)
    if work and _peak(len(steps), work, workers) > max_memory:
        workers = (max_memory - _peak(len(steps), work, 0)) // work
    needed = _peak(len(steps), work, 1)
    if needed > max_memory:
        message = f"{max_memory // MB} MB of memory are too few: this build takes {-(-needed // MB)} MB with one worker"
        raise SpecError.of(message, f"allow at least --max-memory {-(-needed // MB)}MB")
    return workers


def _peak(count: int, work: int, workers: int) -> int:
    """Resident bytes with `count` steps, where a worker needs `work` bytes for the largest."""
    return _INTERPRETER + _STEP * count + (_COMPILED + workers * work if work else 0)


def _largest_work(steps: Sequence[Step]) -> int:
    return max((work_bytes(step) for step in steps), default=0)


def work_bytes(step: Step) -> int:
    """Bytes that a worker needs to compute a step's tensor; 0 where no arithmetic is needed."""
    if isinstance(step.expression, Concat):
        rows = step.tensor.elements // step.tensor.row
        parts = ((part, width) for _, width, part in step.expression.parts())
        return max(_work(part, step.tensor.dtype, width, rows * width) for part, width in parts)
    return _work(step.expression, step.tensor.dtype, step.tensor.row, step.tensor.elements)


def _work(expression: Expression, dtype: Dtype, row: int, elements: int) -> int:
    if isinstance(expression, Copy | Columns) or is_zero(expression):
        return 0
    width = 8 if dtype is Dtype.F64 else 4
    per_element = width * (1 + live_tiles(expression)) + op_temporaries(expression)
    return max(TILE, tile_elements(expression, row)) * per_element + mask_bytes(expression, elements)


def tile_elements(expression: Expression, row: int) -> int:
    """Elements of a tile of a tensor with rows of `row` elements: whole rows if one of its ops needs them."""
    if not row or not any(OPS[blend.op].whole_rows for blend in find_blends(expression)):
        return TILE
    return max(TILE // row, 1) * row


def live_tiles(expression: Expression) -> int:
    """How many tiles, in the type of the arithmetic, are held at once while an expression is evaluated."""
    tiles = [live_tiles(child) for child in expression.children()]
    if isinstance(expression, Blend):
        return max(number + count for number, count in enumerate(tiles))
    if isinstance(expression, Rows):
        return 1 + max(tiles, default=0)
    return max(tiles, default=1)


def op_temporaries(expression: Expression) -> int:
    """The most bytes per element of a tile that one of the expression's ops allocates beside its scratch."""
    return max((OPS[blend.op].extra_bytes for blend in find_blends(expression)), default=0)


def mask_bytes(expression: Expression, elements: int) -> int:
    """The most bytes of masks that the passes over a tensor of so many elements keep for each other."""
    sources = (len(blend.of) for blend in find_blends(expression) if OPS[blend.op].caches_masks)
    return sum(min(MASK_CACHE, -(-elements // 8) * count) for count in sources)
