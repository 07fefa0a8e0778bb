"""Computes the difference of a tensor of two donors, in tiles of whole rows, by the same engine that builds stacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import TYPE_CHECKING

from stacker.core.plan.costs import TILE
from stacker.core.plan.plan import Step
from stacker.core.plan.task_making import locate_tensors
from stacker.core.plan.tasks import Compute
from stacker.core.values.donor import Donor
from stacker.core.values.expression import Blend, Copy, Expression
from stacker.run.compute.evaluate import compute_tile
from stacker.run.compute.evaluation import TileRange, begin_evaluation
from stacker.run.compute.rounds import WorkerScratch
from stacker.run.work.sources import OpenFiles
from stacker.tensors import Dtype, TensorRef, TensorSpec

if TYPE_CHECKING:
    from stacker.arithmetic.low_rank import Matrix

TUNED, BASE = "tuned", "base"
_IN_MEMORY = 1 << 24
"""A difference of at most this many elements is kept in memory, so that it is computed only once."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference of one tensor, as a matrix of `shape`: the tuned tensor minus the base's, in fp32.

    `held` has all its tiles if they are kept in memory.
    """

    shape: tuple[int, int]
    compute: Compute
    base: Compute
    sources: OpenFiles
    held: tuple[tuple[int, Matrix], ...] | None = field(default=None, repr=False)

    def tiles(self) -> Iterator[tuple[int, Matrix]]:
        """The difference in tiles of whole rows, each with the number of its first row."""
        return _compute_tiles(self.compute, self.shape, self.sources) if self.held is None else iter(self.held)

    def hold(self) -> Difference:
        """The same difference, kept in memory if it is small."""
        return replace(self, held=tuple(self.tiles())) if prod(self.shape) <= _IN_MEMORY else self

    def sum_squares(self) -> float:
        """The squared Frobenius norm of the difference."""
        return _sum_squares(self.tiles())

    def sum_rest_squares(self, left: Matrix, right: Matrix) -> float:
        """The squared Frobenius norm of what the product of `left` and `right` leaves out of the difference."""
        return _sum_squares((first, tile - left[first : first + len(tile)] @ right) for first, tile in self.tiles())

    def sum_base_squares(self) -> float:
        """The squared Frobenius norm of the base's tensor."""
        return _sum_squares(_compute_tiles(self.base, self.shape, self.sources))


def _sum_squares(tiles: Iterator[tuple[int, Matrix]]) -> float:
    import numpy as np

    return sum(float(np.einsum("ij,ij->", tile, tile, dtype=np.float64)) for _, tile in tiles)


def make_difference(name: str, donors: Mapping[str, Donor], sources: OpenFiles) -> Difference:
    """The difference of the tensor `name`, which the donors `tuned` and `base` both have with one shape."""
    spec = donors[BASE].tensors[name].spec
    parts = tuple(_read(donors[donor], name) for donor in (TUNED, BASE))
    weights = ((("weight", 1.0),), (("weight", -1.0),))
    blend = Blend("linear", parts, (("normalize", False),), weights)
    change, base = (_make_compute(expression, spec, donors) for expression in (blend, parts[1]))
    return Difference(_matrix_shape(spec), change, base, sources)


def read_tensor(donor: Donor, name: str, donors: Mapping[str, Donor], sources: OpenFiles) -> Matrix:
    """A whole tensor of a donor, in fp32."""
    import numpy as np

    spec = donor.tensors[name].spec
    tiles = _compute_tiles(_make_compute(_read(donor, name), spec, donors), _matrix_shape(spec), sources)
    return np.concatenate([tile for _, tile in tiles]).reshape(spec.shape)


def _matrix_shape(spec: TensorSpec) -> tuple[int, int]:
    return (spec.shape[0], prod(spec.shape[1:])) if spec.shape else (1, 1)


def _read(donor: Donor, name: str) -> Expression:
    tensor = donor.tensors[name]
    return tensor.expression or Copy(TensorRef(donor.name, tensor.spec.name))


def _make_compute(expression: Expression, spec: TensorSpec, donors: Mapping[str, Donor]) -> Compute:
    target = TensorSpec(spec.name, Dtype.F32, spec.shape)
    places = locate_tensors([Step(target, 0, 0, expression)], donors)
    return Compute(0, 0, target.nbytes, expression, target.dtype, places, target.row)


def _compute_tiles(compute: Compute, shape: tuple[int, int], sources: OpenFiles) -> Iterator[tuple[int, Matrix]]:
    import numpy as np

    evaluation, scratch = begin_evaluation(compute, sources), WorkerScratch([compute]).scratch
    width = max(shape[1], 1)
    step = max(TILE // width, 1)
    for first in range(0, shape[0], step):
        rows = min(step, shape[0] - first)
        parts = [
            np.frombuffer(compute_tile(TileRange(evaluation, scratch, start, count)), np.float32).copy()
            for start, count in _split(first * width, rows * width)
        ]
        yield first, (parts[0] if len(parts) == 1 else np.concatenate(parts)).reshape(rows, width)


def _split(start: int, count: int) -> Iterator[tuple[int, int]]:
    for begin in range(start, start + count, TILE):
        yield begin, min(TILE, start + count - begin)
