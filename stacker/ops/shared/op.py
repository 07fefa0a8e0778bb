"""The declaration of an op, and the interface of its arithmetic; nothing here imports numpy or torch.

An op is a row of data plus one function that makes its Kernel. Kernels see tiles (the same run of elements of every
source, flat), never whole tensors: a statistic of the whole tensor takes a pass of its own.
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
    """Whether an op takes a reference tensor beside its sources."""

    NONE = "none"
    OPTIONAL = "optional"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class OpParameter:
    """A parameter of an op: `low` and `high` are inclusive bounds, and a `default` of None makes it required.

    `per_source` parameters, such as a weight, may differ between the sources of a blend. Values of a parameter that
    `extrapolates` may exceed the bounds, with a warning. `role_defaults` replace `default` for tensors of some roles.
    """

    name: str
    kind: type[float | bool | int]
    default: float | bool | int | None
    meaning: str
    low: float | None = None
    high: float | None = None
    per_source: bool = False
    extrapolates: bool = False
    role_defaults: tuple[tuple[str, float | bool | int], ...] = ()


class MaskCache(Protocol):
    """Keeps masks that are expensive to compute from one pass to the next."""

    def get(self, tile: Tile, source: int, make: Callable[[], Mask]) -> Mask:
        """The cached mask of this tile and source, or else the result of `make`."""
        ...


class _NoCache:
    def get(self, _tile: Tile, _source: int, make: Callable[[], Mask]) -> Mask:
        return make()


_NO_CACHE = _NoCache()


@dataclass(frozen=True, slots=True)
class Tile:
    """The same run of elements of every source and of the base: flat, of one length, all fp32 or all fp64.

    A kernel may overwrite `sources` but never `base`, and computes with `backend`. `total` is the array summed over the
    previous tiles of this pass (None on the first), to which the pass adds; `masks` keeps masks between passes.
    This is tile `number` of `count`, beginning at element `start`; `row` is the length of the tensor's last dimension.
    `seed` is the tensor's name, from which random numbers are derived.
    """

    sources: Sequence[Array]
    backend: Backend
    base: Array | None = None
    total: Array | None = None
    masks: MaskCache = _NO_CACHE
    start: int = 0
    number: int = 0
    count: int = 1
    row: int = 0
    seed: str = ""


Statistics = Sequence[Any]
"""The result of each earlier pass, over the whole tensor."""
Measure = Callable[[Tile, Statistics], "Sequence[float] | Array"]
"""Returns the sums over a tile: a list of numbers, or an array (histogram, column sums) added to the tile's `total`."""
Finish = Callable[[Any, Statistics], Any]
"""Turns a pass's sums over all tiles into the statistic that later passes need."""
Apply = Callable[[Tile, Statistics], "Array"]
"""Returns the blended tile: one of the sources, overwritten, or a new array."""


def return_sums(total: Any, _statistics: Statistics) -> Any:
    """Finish a pass whose sums are the statistic."""
    return total


@dataclass(frozen=True, slots=True)
class Pass:
    """One reading of the whole tensor: sums over each tile, then one statistic of their total.

    Numbers and integer arrays are summed exactly, fp64 arrays in the order of the tiles, and tiles are cut at the same
    elements in every run, so the result does not depend on threads. `finish` gets numpy arrays.
    """

    measure: Measure
    finish: Finish = return_sums


@dataclass(frozen=True, slots=True)
class Kernel:
    """The arithmetic of one op with its parameters bound: the tensor is read once for each pass, then for `apply`."""

    apply: Apply
    passes: tuple[Pass, ...] = ()


MakeKernel = Callable[[Values, Sequence[Values]], Kernel]
"""Makes a kernel from the op's own values and those of each source; none may be missing."""
CountPasses = Callable[[Values, Sequence[Values]], int]
"""Returns the number of passes of the kernel made from these values."""
CheckValues = Callable[[Values, Sequence[Values]], Iterator[str]]
"""Yields what is wrong with a combination of values, each of which is valid alone."""


def _accept_all(_own: Values, _each: Sequence[Values]) -> Iterator[str]:
    return iter(())


@dataclass(frozen=True, slots=True)
class Op:
    """A blend function: its inputs, what it computes (`formula`), and its publication (`source`).

    `arity` is the fewest and the most sources (None: any number). `passes` is the fewest and the most passes of its
    kernels; where they differ, `count_passes` gives the number for given values. `ramp` is the parameter that a
    crossfade varies by default: 't' runs from 0 to 1, 'weight' from (1, 0) to (0, 1), "" where the op has neither.
    `extra_bytes` is its peak memory on the processor, in bytes for each element of a tile, beside the tile itself. Ops
    with `caches_masks` keep a bit for each element and source between passes; `whole_rows` ops get tiles of whole rows.
    """

    name: str
    summary: str
    formula: str
    source: str
    arity: tuple[int, int | None]
    parameters: tuple[OpParameter, ...]
    make: MakeKernel
    base: Base = Base.NONE
    passes: tuple[int, int] = (0, 0)
    count_passes: CountPasses | None = None
    ramp: str = ""
    extra_bytes: int = 0
    caches_masks: bool = False
    whole_rows: bool = False
    data_free: bool = True
    check: CheckValues = _accept_all

    def parameter(self, name: str) -> OpParameter | None:
        """The declared parameter of that name."""
        return next((parameter for parameter in self.parameters if parameter.name == name), None)
