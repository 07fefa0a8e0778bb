"""Describes an adapter that has been read, without its weights, and gives access to the shapes of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from stacker.core.values.donor import Donor
from stacker.core.values.expression import Copy
from stacker.errors import Problem
from stacker.formats.adapters import AdapterConfig, AdapterModule, AdapterPart
from stacker.tensors import TensorRef

MARK = "+"
"""Separates the name of a donor from that of its adapter in the names by which expressions refer to adapters."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter of a donor; `stored` holds its files and tensors in the form of a donor, so that plans can read them.

    `weight` multiplies the change that the adapter makes.
    """

    stored: Donor
    config: AdapterConfig
    modules: tuple[AdapterModule, ...]
    weight: float = 1.0
    warnings: tuple[Problem, ...] = ()

    def copy(self, name: str) -> Copy:
        """The expression of one of the adapter's tensors."""
        return Copy(TensorRef(self.stored.name, name))

    def shape(self, name: str) -> tuple[int, ...]:
        return self.stored.tensors[name].spec.shape

    def matrix(self, name: str) -> tuple[int, int]:
        """The shape of a tensor as a matrix: its first dimension, and the product of all others."""
        shape = self.shape(name)
        return (shape[0], prod(shape[1:])) if shape else (1, 1)


@dataclass(frozen=True, slots=True)
class ModuleTensors:
    """The tensors of an adapter for one module, with the adapter that they belong to."""

    adapter: Adapter
    path: str
    names: Mapping[AdapterPart, str]

    def has(self, *parts: AdapterPart) -> bool:
        return all(part in self.names for part in parts)

    def copy(self, part: AdapterPart) -> Copy:
        return self.adapter.copy(self.names[part])

    def matrix(self, part: AdapterPart) -> tuple[int, int]:
        return self.adapter.matrix(self.names[part])
