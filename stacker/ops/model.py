"""What an op declares of itself, and the shape of the arithmetic behind it; nothing here imports torch.

An op is a row of data plus one function that makes its Kernel. Kernels see tiles (the same run of elements of every
source, flat), never whole tensors: what needs a statistic of the whole tensor declares a pass for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

Value = float | bool | str
Values = Mapping[str, Value]


class Base(StrEnum):
    """Whether an op has a reference tensor beside its sources."""

    NONE = "none"
    OPTIONAL = "optional"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class OpParameter:
    """A parameter of an op: `default` None means it must be given; `low` and `high` are inclusive bounds.

    `per_source` parameters may differ between the sources of a blend (a weight); the others belong to the blend.
    Values past the bounds of one that `extrapolates` make sense, but are seldom meant. `of_roles` are defaults that
    tensors of some roles have instead of `default`.
    """

    name: str
    kind: type[float | bool | int]
    default: float | bool | int | None
    meaning: str
    low: float | None = None
    high: float | None = None
    per_source: bool = False
    extrapolates: bool = False
    of_roles: tuple[tuple[str, float | bool | int], ...] = ()


@dataclass(frozen=True, slots=True)
class Tile:
    """The same run of elements of every source (and of the base): flat, all fp32 or all fp64, one length.

    A kernel may overwrite `sources`; never `base`. In `scratch` are as many fp64 tensors of that length as its op asks
    for, to write into: fresh memory costs more than the arithmetic. Tile `number` of `count` begins at element `start`
    of the tensor, whose name for ops that draw at random is `seed`. `row` is the length of the tensor's last dimension:
    ops that ask for rows get tiles of whole rows.
    """

    sources: Sequence[torch.Tensor]
    base: torch.Tensor | None = None
    scratch: Sequence[torch.Tensor] = ()
    start: int = 0
    number: int = 0
    count: int = 1
    row: int = 0
    seed: str = ""


Known = Sequence[Any]
"""What each pass so far came to, over the whole tensor."""
Measure = Callable[[Tile, Known], "Sequence[float] | torch.Tensor"]
"""Sums over a tile: numbers, or a tensor of fp64 or int64 (sums of columns, a histogram)."""
Finish = Callable[[Any, Known], Any]
Apply = Callable[[Tile, Known], "torch.Tensor"]


def as_summed(total: Any, known: Known) -> Any:  # noqa: ARG001 - a Finish
    """A pass's sums as they are."""
    return total


@dataclass(frozen=True, slots=True)
class Pass:
    """One reading of the whole tensor: sums over each tile, and once what is to be known of their total.

    Numbers are added exactly over all tiles, and so are integers; tensors of fp64 in the order of the tiles. Tiles are
    cut at the same elements in every pass and every run, so none of it depends on threads.
    """

    measure: Measure
    finish: Finish = as_summed


@dataclass(frozen=True, slots=True)
class Kernel:
    """The arithmetic of one op with its parameters bound.

    The tensor is read once for each of `passes` before it is read for `apply`, which gives the blended tile: one of
    the sources, overwritten, or a tensor of its own.
    """

    apply: Apply
    passes: tuple[Pass, ...] = ()


MakeKernel = Callable[[Values, Sequence[Values]], Kernel]
"""From the op's own values and those of each source, all given, to its kernel."""
CheckValues = Callable[[Values, Sequence[Values]], Iterator[str]]
"""What is wrong with values that are each well in themselves."""


def _nothing_wrong(own: Values, each: Sequence[Values]) -> Iterator[str]:  # noqa: ARG001 - a CheckValues
    return iter(())


@dataclass(frozen=True, slots=True)
class Op:
    """A blend function: what it takes, what it computes (`formula`), and where it was published (`source`).

    `arity` is the fewest and the most sources (None: any number). `ramp` is the parameter a crossfade drives when the
    spec gives none: 't' runs from 0 to 1, 'weight' from (1, 0) to (0, 1); "" when the op has no such thing.
    `scratch` is how many fp64 tensors its kernel wants to write into, `fresh` how many bytes for each element of a tile
    it takes beside them at its highest. With `rows` it gets tiles of whole rows. `data_free` ops look at weights alone,
    and at no text that the donors read.
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
    scratch: int = 0
    fresh: int = 0
    rows: bool = False
    data_free: bool = True
    check: CheckValues = _nothing_wrong

    def parameter(self, name: str) -> OpParameter | None:
        """The declared parameter of that name."""
        return next((parameter for parameter in self.parameters if parameter.name == name), None)
