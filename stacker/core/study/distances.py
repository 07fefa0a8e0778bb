"""How far the weights of two checkpoints are from each other: distances and angles, by tensor, role and layer."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from functools import reduce
from math import inf, isfinite, nan, sqrt
from operator import add
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Distance:
    """Sums over the elements of one or more tensors, x in the first checkpoint and y in the second.

    `difference` is Σ(y−x)², `one` Σx², `other` Σy² and `product` Σxy. `differing` of the `elements` are not equal.
    """

    tensors: int = 0
    elements: int = 0
    differing: int = 0
    difference: float = 0.0
    one: float = 0.0
    other: float = 0.0
    product: float = 0.0

    def __add__(self, more: Distance) -> Distance:
        """The sums over the tensors of both."""
        return Distance(*(getattr(self, name) + getattr(more, name) for name in self.__slots__))

    @property
    def relative(self) -> float:
        """‖y−x‖ / ‖x‖, by Frobenius norms: 0 for equal tensors, infinite if only x is zero.

        NaN if not all values are finite.
        """
        if not self.differing:
            return 0.0
        if not isfinite(self.difference) or not isfinite(self.one):
            return nan
        return sqrt(self.difference / self.one) if self.one else inf

    @property
    def cosine(self) -> float:
        """The cosine of the angle between x and y as vectors; NaN if one of them is zero or not finite."""
        size = sqrt(self.one) * sqrt(self.other) if isfinite(self.one) and isfinite(self.other) else 0.0
        return max(-1.0, min(1.0, self.product / size)) if size else nan


@dataclass(frozen=True, slots=True)
class TensorDistance:
    """The distance of one tensor, which both checkpoints have, with its role; `layer` is None outside the layers."""

    name: str
    role: str
    layer: int | None
    distance: Distance


@dataclass(frozen=True, slots=True)
class SkippedTensor:
    """A tensor of which no distance is known, and the reason; `same` is whether both checkpoints have equal bytes."""

    name: str
    reason: str
    same: bool = False


@dataclass(frozen=True, slots=True)
class WeightDistances:
    """The distance of every tensor for which there is one, and the other tensors; `depth` counts the layers."""

    depth: int
    tensors: tuple[TensorDistance, ...]
    skipped: tuple[SkippedTensor, ...] = ()

    @property
    def total(self) -> Distance:
        """The distance over all compared tensors."""
        return sum_distances(self.tensors)

    @property
    def same(self) -> bool:
        """Whether all tensors have equal values, or equal bytes if they are quantised."""
        return not any(tensor.distance.differing for tensor in self.tensors) and all(each.same for each in self.skipped)

    def by_cell(self) -> dict[tuple[str, int], Distance]:
        """The distances inside the layers, by role and layer."""
        return _group(self.inside, lambda tensor: (tensor.role, tensor.layer or 0))

    def by_role(self) -> dict[str, Distance]:
        """The distances inside the layers, by role."""
        return _group(self.inside, lambda tensor: tensor.role)

    def by_layer(self) -> dict[int, Distance]:
        """The distances inside the layers, by layer."""
        return _group(self.inside, lambda tensor: tensor.layer or 0)

    @property
    def inside(self) -> list[TensorDistance]:
        """The tensors of layers."""
        return [tensor for tensor in self.tensors if tensor.layer is not None]

    @property
    def outside(self) -> list[TensorDistance]:
        """The tensors outside the layers: embedding, head, norms."""
        return [tensor for tensor in self.tensors if tensor.layer is None]


def sum_distances(tensors: Iterable[TensorDistance]) -> Distance:
    """The distance over several tensors."""
    return reduce(add, (tensor.distance for tensor in tensors), Distance())


def _group(tensors: Iterable[TensorDistance], key: Callable[[TensorDistance], Key]) -> dict[Key, Distance]:
    groups: dict[Key, list[TensorDistance]] = {}
    for tensor in tensors:
        groups.setdefault(key(tensor), []).append(tensor)
    return {group: sum_distances(members) for group, members in groups.items()}


def rank_layers(found: WeightDistances) -> list[tuple[int, float]]:
    """The layers with their relative distances, the most changed first; layers without a finite distance are last."""
    layers = [(layer, distance.relative) for layer, distance in found.by_layer().items()]
    return sorted(layers, key=lambda pair: (not isfinite(pair[1]), -pair[1] if isfinite(pair[1]) else 0.0, pair[0]))
