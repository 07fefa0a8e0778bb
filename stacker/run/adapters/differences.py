"""Computes the difference of a tensor of two donors, in tiles of whole rows, by the same engine that builds stacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import TYPE_CHECKING

from stacker.core.plan.tasks import Compute
from stacker.core.values.donor import Donor
from stacker.core.values.expression import Blend
from stacker.run.tiles import find_matrix_shape, make_compute, make_reading, read_row_tiles
from stacker.run.work.sources import OpenFiles

if TYPE_CHECKING:
    from stacker.arithmetic.low_rank import Matrix

TUNED, BASE = "fine-tune", "base"
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
        return read_row_tiles(self.compute, self.shape, self.sources) if self.held is None else iter(self.held)

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
        return _sum_squares(read_row_tiles(self.base, self.shape, self.sources))


def _sum_squares(tiles: Iterator[tuple[int, Matrix]]) -> float:
    import numpy as np

    return sum(float(np.einsum("ij,ij->", tile, tile, dtype=np.float64)) for _, tile in tiles)


def make_difference(name: str, donors: Mapping[str, Donor], sources: OpenFiles) -> Difference:
    """The difference of the tensor `name`, which the donors `tuned` and `base` both have with one shape."""
    spec = donors[BASE].tensors[name].spec
    parts = tuple(make_reading(donors[donor], name) for donor in (TUNED, BASE))
    weights = ((("weight", 1.0),), (("weight", -1.0),))
    blend = Blend("linear", parts, (("normalize", False),), weights)
    change, base = (make_compute(expression, spec, donors) for expression in (blend, parts[1]))
    return Difference(find_matrix_shape(spec), change, base, sources)


def read_tensor(donor: Donor, name: str, donors: Mapping[str, Donor], sources: OpenFiles) -> Matrix:
    """A whole tensor of a donor, in fp32."""
    import numpy as np

    spec = donor.tensors[name].spec
    tiles = read_row_tiles(make_compute(make_reading(donor, name), spec, donors), find_matrix_shape(spec), sources)
    return np.concatenate([tile for _, tile in tiles]).reshape(spec.shape)
