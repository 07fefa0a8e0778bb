"""Declares what an op (an operation that merges tensors) consists of; imports neither numpy nor torch.

An op is a record of data with a function `make`, which returns a Kernel: the arithmetic for given parameter values. A
kernel never gets a whole tensor, but one tile at a time: the same range of elements of every source. A statistic of the
whole tensor therefore needs a separate pass.
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
    """Whether an op uses a base, which is a reference tensor in addition to the sources."""

    NONE = "none"
    OPTIONAL = "optional"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class OpParameter:
    """A parameter of an op, which a spec may set.

    `kind` is the type of its values, `meaning` describes it to users, and `low` and `high` are the bounds. For tensors
    with certain roles, `role_defaults` replaces `default`.
    """

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
    """Whether each source of a blend may have a different value, such as a weight."""
    extrapolates: bool = False
    """Whether a value outside the bounds only causes a warning."""
    role_defaults: tuple[tuple[str, float | bool | int], ...] = ()
    """Pairs (role of a tensor, default): for tensors of that role, this default replaces `default`."""


class MaskCache(Protocol):
    """Stores masks that are expensive to compute, so that later passes can use them again."""

    def get(self, tile: Tile, source: int, make: Callable[[], Mask]) -> Mask:
        """The stored mask of source number `source` for this tile; if none is stored, the mask that `make` returns."""
        ...


class _NoCache:
    def get(self, _tile: Tile, _source: int, make: Callable[[], Mask]) -> Mask:
        return make()


_NO_CACHE = _NoCache()


@dataclass(frozen=True, slots=True)
class Tile:
    """The same range of elements of every source and of the base, as flat arrays that are all fp32 or all fp64.

    It begins at element `start` of the tensor and is number `number` of `count` tiles; `row` is the length of the
    tensor's rows. A pass adds its sums to `total`, the array that it returned for the previous tile.
    """

    sources: Sequence[Array]
    """One array for each source; a kernel may overwrite them."""
    backend: Backend
    """The object whose methods compute with the arrays."""
    base: Array | None = None
    """The array of the base, which a kernel must not overwrite; None for a blend without a base."""
    total: Array | None = None
    """The array that the current pass returned for the previous tile, or None for the first tile.

    The pass adds this tile's sums to that array.
    """
    masks: MaskCache = _NO_CACHE
    """Stores masks, so that later passes need not compute them again."""
    start: int = 0
    """The index of the tile's first element in the tensor."""
    number: int = 0
    """The index of this tile among the tiles of the tensor."""
    count: int = 1
    """How many tiles the tensor has."""
    row: int = 0
    """The length of the tensor's last dimension."""
    seed: str = ""
    """The tensor's name, from which its random numbers are derived."""


Statistics = Sequence[Any]
"""The results of all earlier passes over the tensor, one for each pass; each describes the whole tensor."""
Measure = Callable[[Tile, Statistics], "Sequence[float] | Array"]
"""A function of a tile and the earlier statistics that returns sums over the tile.

The sums are a list of numbers, or an array (such as a histogram) that already includes `tile.total`.
"""
Finish = Callable[[Any, Statistics], Any]
"""A function that turns the sums of a pass over all tiles into the statistic that later passes use."""
Apply = Callable[[Tile, Statistics], "Array"]
"""A function that returns the blended tile: a new array, or one of the sources after overwriting it."""


def return_sums(total: Any, _statistics: Statistics) -> Any:
    """Return the sums unchanged: the default `finish` of a Pass, for sums that are already the statistic."""
    return total


@dataclass(frozen=True, slots=True)
class Pass:
    """One reading of the whole tensor: `measure` sums over each tile, and `finish` turns the total into a statistic.

    The statistic does not depend on the number of threads: numbers and integer arrays are summed exactly, and fp64
    arrays in the order of the tiles. If `measure` returns arrays, `finish` gets the total as a numpy array.
    """

    measure: Measure
    finish: Finish = return_sums


@dataclass(frozen=True, slots=True)
class Kernel:
    """The arithmetic of an op for given parameter values.

    The tensor is read once for each pass and once for `apply`.
    """

    apply: Apply
    passes: tuple[Pass, ...] = ()


MakeKernel = Callable[[Values, Sequence[Values]], Kernel]
"""A function of (values of the blend, values of each source) that makes the kernel; no value may be missing."""
CountPasses = Callable[[Values, Sequence[Values]], int]
"""A function of (values of the blend, values of each source) that returns how many passes the kernel has."""
CheckValues = Callable[[Values, Sequence[Values]], Iterator[str]]
"""A function of (values of the blend, values of each source) that yields a message for each contradiction.

The values were already checked one by one, so only contradictions between values are left to find.
"""


def _accept_all(_own: Values, _each: Sequence[Values]) -> Iterator[str]:
    return iter(())


@dataclass(frozen=True, slots=True)
class Op:
    """A merge operation: it makes one tensor from corresponding tensors of several sources, and possibly of a base.

    `make` returns the arithmetic for given parameter values, and `check` reports values that contradict each other. The
    pairs `arity` and `passes` are the smallest and largest number of sources, and of passes over the tensor.
    """

    name: str
    summary: str
    formula: str
    """The mathematical formula of the result, as text."""
    source: str
    """The publication that describes the op."""
    arity: tuple[int, int | None]
    """The smallest and the largest number of sources; the largest is None if there is no upper limit."""
    parameters: tuple[OpParameter, ...]
    make: MakeKernel
    base: Base = Base.NONE
    passes: tuple[int, int] = (0, 0)
    """The fewest and the most passes that a kernel of the op may have."""
    count_passes: CountPasses | None = None
    """Returns the number of passes for given values; None if every kernel of the op has `passes[0]` passes."""
    ramp: str = ""
    """The parameter that a crossfade varies from layer to layer, or "" if the op cannot crossfade.

    A crossfade varies 't' from 0 to 1, and 'weight' of its two sources from (1, 0) to (0, 1).
    """
    extra_bytes: int = 0
    """The peak CPU memory that the op needs in addition to its input tiles, in bytes for each element of a tile."""
    caches_masks: bool = False
    """Whether the op stores masks between passes; a mask takes one bit for each element of each source."""
    whole_rows: bool = False
    """Whether every tile must consist of whole rows of the tensor."""
    data_free: bool = True
    """Whether the op works with the weights alone, without data such as text samples."""
    check: CheckValues = _accept_all

    def parameter(self, name: str) -> OpParameter | None:
        """The declaration of the parameter called `name`, or None if the op has no such parameter."""
        return next((parameter for parameter in self.parameters if parameter.name == name), None)
