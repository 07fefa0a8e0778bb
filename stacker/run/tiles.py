"""Reads tensors of donors in tiles of whole rows, by the same engine that builds stacks; nothing whole is in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import TYPE_CHECKING

from stacker.core.plan.costs import TILE
from stacker.core.plan.plan import Step
from stacker.core.plan.task_making import locate_tensors
from stacker.core.plan.tasks import Compute
from stacker.core.values.donor import Donor
from stacker.core.values.expression import Copy, Expression
from stacker.run.compute.evaluate import compute_tile
from stacker.run.compute.evaluation import TileRange, begin_evaluation
from stacker.run.compute.rounds import WorkerScratch
from stacker.run.work.sources import OpenFiles
from stacker.tensors import Dtype, TensorRef, TensorSpec

if TYPE_CHECKING:
    from stacker.arithmetic.backend import Array
    from stacker.arithmetic.low_rank import Matrix

KINDS = {Dtype.F32: "float32", Dtype.F64: "float64"}
"""The types in which tiles are read, with their names in numpy."""


def find_matrix_shape(spec: TensorSpec) -> tuple[int, int]:
    """A tensor's shape as that of a matrix: the first dimension, and the product of all others."""
    return (spec.shape[0], prod(spec.shape[1:])) if spec.shape else (1, 1)


def make_reading(donor: Donor, name: str) -> Expression:
    """The expression that reads the tensor `name` of a donor."""
    tensor = donor.tensors[name]
    return tensor.expression or Copy(TensorRef(donor.name, tensor.spec.name))


def make_compute(
    expression: Expression, spec: TensorSpec, donors: Mapping[str, Donor], kind: Dtype = Dtype.F32
) -> Compute:
    """The task that computes an expression with the name and shape of `spec`, as fp32 or fp64."""
    target = TensorSpec(spec.name, kind, spec.shape)
    places = locate_tensors([Step(target, 0, 0, expression)], donors)
    return Compute(0, 0, target.nbytes, expression, target.dtype, places, target.row)


def list_tiles(shape: tuple[int, int]) -> Iterator[range]:
    """The elements of each tile of a matrix: whole rows, or parts of a row if a single row is too long."""
    width = max(shape[1], 1)
    rows = max(TILE // width, 1) * width
    for first in range(0, shape[0] * shape[1], rows):
        end = min(first + rows, shape[0] * shape[1])
        yield from (range(start, min(start + TILE, end)) for start in range(first, end, TILE))


def read_tiles(compute: Compute, shape: tuple[int, int], sources: OpenFiles) -> Iterator[Array]:
    """The values of a tensor, tile by tile as `list_tiles` has them; each is valid until the next is asked for."""
    import numpy as np

    evaluation, scratch = begin_evaluation(compute, sources), WorkerScratch([compute]).scratch
    for tile in list_tiles(shape):
        yield np.frombuffer(compute_tile(TileRange(evaluation, scratch, tile.start, len(tile))), KINDS[compute.dtype])


def read_row_tiles(compute: Compute, shape: tuple[int, int], sources: OpenFiles) -> Iterator[tuple[int, Matrix]]:
    """The values of a tensor as matrices of whole rows, each with the number of its first row; the caller owns them."""
    import numpy as np

    width, parts, row = max(shape[1], 1), [], 0
    for values in read_tiles(compute, shape, sources):
        parts.append(values.copy())
        size = sum(map(len, parts))
        if size % width == 0:
            yield row, (parts[0] if len(parts) == 1 else np.concatenate(parts)).reshape(-1, width)
            row, parts = row + size // width, []
