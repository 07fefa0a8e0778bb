"""Predicts what a build will cost from its steps: bytes read, bytes written, and resident memory.

Executors size their scratch memory by the numbers here. Memory does not grow with the size of the donors: a build keeps
only its plan in memory and, if tensors have to be computed, compiled code and tiles, which are pieces of tensors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from stacker.core.plan.plan import Costs, Step
from stacker.core.values.donor import Donor
from stacker.core.values.expression import Blend, Columns, Concat, Copy, Decoded, Expression, LowRank, Rows, Scale
from stacker.core.values.expression_parts import find_blends, find_needed_leaves, find_rescales, is_zero
from stacker.errors import SpecError
from stacker.ops.shared.settings import count_passes
from stacker.ops.table import OPS
from stacker.tensors import Dtype, TensorRef

TILE = 1 << 19
"""The number of elements in one tile, a piece of a tensor; `choose_tile` deviates from it if an op needs whole rows.

Sums over a tensor are added up tile by tile, so changing this may change output bytes.
"""
MASK_CACHE = 1 << 24
"""The most bytes of bit masks that one blend keeps between its passes over a tensor."""
RANK_STEP = 4
"""The factors of low-rank products are padded with zeros to a multiple of this many columns and rows."""
MB = 1_000_000
_INTERPRETER = 54 * MB
"""Memory (bytes) of Python with stacker, its parser and its terminal output imported; measured."""
_COMPILED = 140 * MB
"""Memory (bytes) of numpy, numba and the compiled functions; measured."""
_STEP = 3_600
"""Memory (bytes) of one tensor's names, offsets and header entry in the plan, donors and tasks; measured."""


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """The resident memory of a process in bytes: what it holds now, and the most that it has held."""

    held: int
    peak: int


NOTHING_USED = MemoryUse(0, 0)


def predict_peak(steps: Sequence[Step], workers: int) -> int:
    """The peak of resident memory (bytes) of a build that has these steps and `workers` threads."""
    return _peak(len(steps), _largest_work(steps), workers)


def fit_workers(
    steps: Sequence[Step], workers: int, max_memory: int | None, used: MemoryUse = NOTHING_USED, buffers: int = 0
) -> int:
    """How many of `workers` threads fit into `max_memory` bytes; all of them if `max_memory` is None.

    `used` is what the process has used before the build begins, and `buffers` the bytes that all threads share. Raises
    SpecError if the memory is not enough for one thread; the hint allows 5 % more than the least, because measured
    memory varies from run to run.
    """
    if max_memory is None:
        return workers
    work = _largest_work(steps)
    spare = max_memory - buffers - _peak(len(steps), work, 0, used.held)
    needed = max(buffers + _peak(len(steps), work, 1, used.held), used.peak)
    if needed > max_memory:
        message = f"{max_memory // MB} MB of memory are too few: this build takes {-(-needed // MB)} MB with one worker"
        raise SpecError.of(message, f"allow at least --max-memory {-(-needed * 21 // 20 // MB)}MB")
    return min(workers, spare // work) if work else workers


def _peak(count: int, work: int, workers: int, held: int = 0) -> int:
    """Peak memory (bytes) of a build with `count` steps in which each worker needs at most `work` bytes.

    `held` is what the process holds already, if that is known: large tokenizers count only there.
    """
    return max(_INTERPRETER + _STEP * count, held) + (_COMPILED + workers * work if work else 0)


def _largest_work(steps: Sequence[Step]) -> int:
    return max((predict_work(step) for step in steps), default=0)


def predict_work(step: Step) -> int:
    """How many bytes of memory a worker needs to compute a step's tensor; 0 if it is only copied or all zeros."""
    if isinstance(step.expression, Concat):
        rows = step.tensor.elements // step.tensor.row
        parts = ((part, width) for _, width, part in step.expression.parts())
        return max(_work(part, step.tensor.dtype, width, rows * width) for part, width in parts)
    return _work(step.expression, step.tensor.dtype, step.tensor.row, step.tensor.elements)


def _work(expression: Expression, dtype: Dtype, row: int, elements: int) -> int:
    if isinstance(expression, Copy | Columns) or is_zero(expression):
        return 0
    width = 8 if dtype is Dtype.F64 else 4
    per_element = width * (1 + count_live_tiles(expression)) + count_temporaries(expression)
    tile = max(TILE, choose_tile(expression, row))
    return (
        tile * per_element
        + predict_masks(expression, elements)
        + width * count_factor_elements(expression)
        + count_kept_bytes(expression)
    )


def choose_tile(expression: Expression, row: int) -> int:
    """How many elements of the tensor one tile holds; tiles are made of whole rows if an op in `expression` needs them.

    `row` is the number of elements in a row of the tensor, or 0 if tiles may divide rows.
    """
    rescaled = max((each.width for each in find_rescales(expression)), default=0)
    if rescaled:
        return max(TILE // rescaled, 1) * rescaled
    if not row or not any(OPS[blend.op].whole_rows for blend in find_blends(expression)):
        return TILE
    return max(TILE // row, 1) * row


def count_live_tiles(expression: Expression) -> int:
    """How many tiles are in memory at the same time while an expression is evaluated tile by tile."""
    tiles = [count_live_tiles(child) for child in expression.children()]
    if isinstance(expression, Blend):
        return max(number + count for number, count in enumerate(tiles))
    if isinstance(expression, Rows):
        return 1 + max(tiles, default=0)
    if isinstance(expression, Scale) and expression.offset:
        return max(2, *tiles)
    return max(tiles, default=1)


def count_factor_elements(expression: Expression) -> int:
    """The most elements of factors of low-rank products that are in memory with the tensor that they change.

    Both factors are kept, while the stored bytes of one of them are being read.
    """
    own = 0
    if isinstance(expression, LowRank):
        blocks, rows, rank, width = expression.shape
        own = blocks * (rows + width) * (-(-rank // RANK_STEP) * RANK_STEP) + max(rows, width) * blocks * rank
    return own + sum(map(count_factor_elements, expression.children()))


def count_kept_bytes(expression: Expression) -> int:
    """The bytes of stored tensors that are in memory while the quantised weights of an expression are decoded."""
    if isinstance(expression, Decoded):
        return expression.kept
    return sum(map(count_kept_bytes, expression.children()))


def count_temporaries(expression: Expression) -> int:
    """The most bytes per element that any op in the expression allocates in addition to the tiles."""
    return max((OPS[blend.op].extra_bytes for blend in find_blends(expression)), default=0)


def predict_masks(expression: Expression, elements: int) -> int:
    """The most bytes of bit masks that blends keep in memory for a tensor with `elements` elements.

    A blend that goes over its sources several times keeps masks so that it need not compute them again.
    """
    sources = (len(blend.of) for blend in find_blends(expression) if OPS[blend.op].caches_masks)
    return sum(min(MASK_CACHE, -(-elements // 8) * count) for count in sources)


def add_up_costs(steps: Sequence[Step], donors: Mapping[str, Donor]) -> Costs:
    """The costs of a build: bytes read, written and copied unchanged, and the peak memory with two workers."""
    sizes = _tensor_sizes(donors.values())
    read = sum(count_bytes_read(step.expression, sizes) for step in steps)
    written = sum(step.tensor.nbytes for step in steps)
    moved = sum(_bytes_copied(step) for step in steps)
    return Costs(read, written, moved, predict_peak(steps, workers=2))


def _tensor_sizes(donors: Iterable[Donor]) -> dict[TensorRef, int]:
    """The size in bytes of each donor tensor that is stored in a file, not computed from other tensors."""
    return {
        TensorRef(donor.name, name): tensor.extent.nbytes if tensor.extent else tensor.spec.nbytes
        for donor in donors
        for name, tensor in {**donor.tensors, **donor.stored}.items()
        if tensor.extent or tensor.expression is None
    }


def count_bytes_read(expression: Expression, sizes: Mapping[TensorRef, int]) -> int:
    """How many donor bytes are read to make one output tensor; `sizes` has the bytes of each donor tensor.

    If the op of a blend goes over its sources several times, the bytes are counted each time.
    """
    return sum(_leaf_bytes(leaf, sizes) for each in list_reads(expression) for leaf in find_needed_leaves(each))


def _leaf_bytes(leaf: Copy | Columns, sizes: Mapping[TensorRef, int]) -> int:
    size = sizes.get(leaf.tensor, 0)
    return size * leaf.count // leaf.width if isinstance(leaf, Columns) else size


def _bytes_copied(step: Step) -> int:
    """How many bytes of an output tensor are copied from donors unchanged."""
    if isinstance(step.expression, Copy):
        return step.tensor.nbytes
    if isinstance(step.expression, Concat):
        copied = sum(width for _, width, part in step.expression.parts() if isinstance(part, Columns))
        return step.tensor.nbytes * copied // sum(step.expression.widths)
    return 0


def list_reads(expression: Expression) -> tuple[Expression, ...]:
    """The expressions to evaluate in turn, each of which reads its donor tensors again.

    First, each blend is listed as often as its op must go over the sources to prepare; `expression` itself is last.
    """
    blends = dict.fromkeys(find_blends(expression))
    return (*(blend for blend in blends for _ in range(count_blend_passes(blend))), expression)


def count_blend_passes(blend: Blend) -> int:
    """How often the op of a blend goes over its sources before it computes the result."""
    return count_passes(OPS[blend.op], dict(blend.parameters), blend.source_values())
