"""The declaration of an op, and the interface of its arithmetic; nothing here imports numpy or torch.

An op is a record of data with one function that makes its Kernel, which does the arithmetic. A kernel gets tiles (the
same run of elements of every source), never whole tensors; a statistic of the whole tensor needs a separate pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from stacker.arithmetic.backend import Array, Backend, Mask

Value = float | bool | str
Values = Mapping[str, Value]


class Base(StrEnum):
    """Whether an op uses a base: a reference tensor in addition to its sources."""

    NONE = "none"
    OPTIONAL = "optional"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class OpParameter:
    """A parameter of an op, as a spec may set it."""

    name: str
    kind: type[float | bool | int]
    default: float | bool | int | None
    """None if a spec must set the parameter."""
    meaning: str
    low: float | None = None
    """The least value allowed; None if there is no lower bound."""
    high: float | None = None
    """The greatest value allowed; None if there is no upper bound."""
    per_source: bool = False
    """Whether each source of a blend may have a value of its own, such as a weight."""
    extrapolates: bool = False
    """Whether a value outside the bounds only causes a warning."""
    role_defaults: tuple[tuple[str, float | bool | int], ...] = ()
    """Roles of tensors, each with the default for tensors of that role in place of `default`."""


class MaskCache(Protocol):
    """Stores masks, so that a mask that is expensive to compute can be used again in later passes."""

    def get(self, tile: Tile, source: int, make: Callable[[], Mask]) -> Mask:
        """The stored mask for this tile and source; if there is none, the result of `make`."""
        ...


class _NoCache:
    def get(self, _tile: Tile, _source: int, make: Callable[[], Mask]) -> Mask:
        return make()


_NO_CACHE = _NoCache()


@dataclass(frozen=True, slots=True)
class Tile:
    """The same run of elements of every source and of the base, as flat arrays of one length, all fp32 or all fp64."""

    sources: Sequence[Array]
    """One array for each source; a kernel may overwrite them."""
    backend: Backend
    """Computes with the arrays."""
    base: Array | None = None
    """The array of the base, which a kernel must not overwrite; None for a blend without a base."""
    total: Array | None = None
    """The array that this pass returned for earlier tiles, to which it adds; None for the first tile."""
    masks: MaskCache = _NO_CACHE
    """Stores masks for later passes."""
    start: int = 0
    """The index of the tile's first element in the tensor."""
    number: int = 0
    """The index of this tile among the tiles of the tensor."""
    count: int = 1
    """How many tiles the tensor has."""
    row: int = 0
    """The length of the tensor's last dimension."""
    seed: str = ""
    """The tensor's name, on which its random numbers depend."""


Statistics = Sequence[Any]
"""One result for each earlier pass, computed over the whole tensor."""
Measure = Callable[[Tile, Statistics], "Sequence[float] | Array"]
"""Returns sums over a tile: a list of numbers, or an array (such as a histogram) with `tile.total` added."""
Finish = Callable[[Any, Statistics], Any]
"""Turns the sums of a pass over all tiles into the statistic that later passes use."""
Apply = Callable[[Tile, Statistics], "Array"]
"""Returns the blended tile, which is a new array or one of the sources after overwriting it."""


def return_sums(total: Any, _statistics: Statistics) -> Any:
    """The sums themselves: the `finish` of a pass whose sums are already the statistic."""
    return total


@dataclass(frozen=True, slots=True)
class Pass:
    """One reading of the whole tensor: `measure` sums over each tile, `finish` turns the total into a statistic.

    Tiles are the same in every run; numbers and integer arrays are summed exactly, and fp64 arrays in the order of the
    tiles, so the statistic does not depend on threads. Array totals reach `finish` as numpy arrays.
    """

    measure: Measure
    finish: Finish = return_sums


@dataclass(frozen=True, slots=True)
class Kernel:
    """The arithmetic of an op for given parameters; the tensor is read once for each pass and once for `apply`."""

    apply: Apply
    passes: tuple[Pass, ...] = ()


MakeKernel = Callable[[Values, Sequence[Values]], Kernel]
"""Makes a kernel from the values of the blend's parameters and those of each source; no value may be missing."""
CountPasses = Callable[[Values, Sequence[Values]], int]
"""Returns how many passes the kernel for these values has."""
CheckValues = Callable[[Values, Sequence[Values]], Iterator[str]]
"""Yields a message for each contradiction between values that are valid on their own."""


def _accept_all(_own: Values, _each: Sequence[Values]) -> Iterator[str]:
    return iter(())


@dataclass(frozen=True, slots=True)
class Op:
    """A blend function: it makes one tensor from the same tensor of several sources, and possibly of a base."""

    name: str
    summary: str
    formula: str
    """What the op computes."""
    source: str
    """The publication that describes the op."""
    arity: tuple[int, int | None]
    """The fewest and the most sources; None if there is no upper limit."""
    parameters: tuple[OpParameter, ...]
    make: MakeKernel
    base: Base = Base.NONE
    passes: tuple[int, int] = (0, 0)
    """The fewest and the most passes that a kernel of the op may have."""
    count_passes: CountPasses | None = None
    """The number of passes for given values; None if it is always the same."""
    ramp: str = ""
    """The parameter that a crossfade varies: 't' from 0 to 1, 'weight' from (1, 0) to (0, 1), "" for an op without."""
    extra_bytes: int = 0
    """The peak memory on the processor in addition to the tile, in bytes for each element of a tile."""
    caches_masks: bool = False
    """Whether the op stores a bit for each element and source between passes."""
    whole_rows: bool = False
    """Whether every tile must consist of whole rows."""
    data_free: bool = True
    """Whether the op needs nothing but weights."""
    check: CheckValues = _accept_all

    def parameter(self, name: str) -> OpParameter | None:
        """The parameter of that name, or None if the op has no such parameter."""
        return next((parameter for parameter in self.parameters if parameter.name == name), None)
