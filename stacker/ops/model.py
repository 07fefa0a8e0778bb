"""What an op declares of itself, and the shape of the arithmetic behind it; nothing here imports torch.

An op is a row of data plus one function that makes its Kernel. Kernels see tiles (flat fp32 or fp64 runs of the same
elements of every source), never whole tensors: what needs a statistic of the whole tensor declares passes for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch

Value = float | bool | str


class Base(StrEnum):
    """Whether an op has a reference tensor beside its sources."""

    NONE = "none"
    OPTIONAL = "optional"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class OpParameter:
    """A parameter of an op: `default` None means it must be given; `low` and `high` are inclusive bounds.

    `per_source` parameters may differ between the sources of a blend (a weight); the others belong to the blend.
    """

    name: str
    kind: type[float] | type[bool] | type[int]
    default: float | bool | int | None
    meaning: str
    low: float | None = None
    high: float | None = None
    per_source: bool = False


class Kernel(Protocol):
    """The arithmetic of one op with its parameters bound.

    `passes` is how many times the tensor is read for statistics before `apply`. Pass `number` (from 0) maps a grain (a
    run of elements whose length never changes, the tensor's last one excepted) to partial sums, which are added exactly
    over all grains; `known` are the finished sums of earlier passes. `apply` gives the blended tile.
    """

    passes: int

    def measure(
        self, number: int, tiles: Sequence[torch.Tensor], known: Sequence[Sequence[float]]
    ) -> Sequence[float]: ...

    def apply(self, tiles: Sequence[torch.Tensor], known: Sequence[Sequence[float]]) -> torch.Tensor: ...


MakeKernel = Callable[[Mapping[str, Value], Sequence[Mapping[str, Value]]], Kernel]


@dataclass(frozen=True, slots=True)
class Op:
    """A blend function: what it takes, what it computes (`formula`), and where it was published (`source`).

    `arity` is the fewest and the most sources (None: any number). `ramp` is the parameter a crossfade drives when the
    spec gives none: 't' runs from 0 to 1, 'weight' from (1, 0) to (0, 1); "" when the op has no such thing.
    """

    name: str
    summary: str
    formula: str
    source: str
    arity: tuple[int, int | None]
    parameters: tuple[OpParameter, ...]
    make: MakeKernel
    base: Base = Base.NONE
    ramp: str = ""
    passes: int = 0

    def parameter(self, name: str) -> OpParameter | None:
        """The declared parameter of that name."""
        return next((parameter for parameter in self.parameters if parameter.name == name), None)
