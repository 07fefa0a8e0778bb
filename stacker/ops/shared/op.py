"""What an op declares of itself, and the shape of the arithmetic behind it; nothing here imports numpy or torch.

An op is a row of data plus one function that makes its Kernel. Kernels see tiles (the same run of elements of every
source, flat), never whole tensors: what needs a statistic of the whole tensor declares a pass for it.
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
    role_defaults: tuple[tuple[str, float | bool | int], ...] = ()


class MaskCache(Protocol):
    """Where masks that are dear to make wait for the next pass."""

    def get(self, tile: Tile, source: int, make: Callable[[], Mask]) -> Mask:
        """What `make` gives for this source and tile, or gave in an earlier pass."""
        ...


class _NoCache:
    def get(self, _tile: Tile, _source: int, make: Callable[[], Mask]) -> Mask:
        return make()


_NO_CACHE = _NoCache()


@dataclass(frozen=True, slots=True)
class Tile:
    """The same run of elements of every source (and of the base): flat, all fp32 or all fp64, one length.

    A kernel may overwrite `sources`; never `base`. `on` is what is able to work with them. Tile `number` of `count`
    begins at element `start` of the tensor, whose name for ops that draw at random is `seed`. `row` is the length of
    the tensor's last dimension: ops that ask for rows get tiles of whole rows. A pass that adds up arrays finds in
    `total` what tiles before this one came to, and adds to it; None means that it is the first. In `kept` a pass may
    leave a mask for the next.
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
"""What each pass so far came to, over the whole tensor."""
Measure = Callable[[Tile, Statistics], "Sequence[float] | Array"]
"""Sums over a tile: a list of numbers, or the tile's `total` (a histogram, sums of columns) with its own added."""
Finish = Callable[[Any, Statistics], Any]
Apply = Callable[[Tile, Statistics], "Array"]


def return_sums(total: Any, _statistics: Statistics) -> Any:
    """A pass's sums as they are."""
    return total


@dataclass(frozen=True, slots=True)
class Pass:
    """One reading of the whole tensor: sums over each tile, and once what is to be known of their total.

    Numbers are added exactly over all tiles, and so are integers; arrays of fp64 in the order of the tiles. Tiles are
    cut at the same elements in every pass and every run, so none of it depends on threads. `finish` gets numpy's.
    """

    measure: Measure
    finish: Finish = return_sums


@dataclass(frozen=True, slots=True)
class Kernel:
    """The arithmetic of one op with its parameters bound.

    The tensor is read once for each of `passes` before it is read for `apply`, which gives the blended tile: one of
    the sources, overwritten, or an array of its own.
    """

    apply: Apply
    passes: tuple[Pass, ...] = ()


MakeKernel = Callable[[Values, Sequence[Values]], Kernel]
"""From the op's own values and those of each source, all given, to its kernel."""
CountPasses = Callable[[Values, Sequence[Values]], int]
"""From the same values to the number of passes of that kernel."""
CheckValues = Callable[[Values, Sequence[Values]], Iterator[str]]
"""What is wrong with values that are each well in themselves."""


def _nothing_wrong(_own: Values, _each: Sequence[Values]) -> Iterator[str]:
    return iter(())


@dataclass(frozen=True, slots=True)
class Op:
    """A blend function: what it takes, what it computes (`formula`), and where it was published (`source`).

    `arity` is the fewest and the most sources (None: any number). `ramp` is the parameter a crossfade drives when the
    spec gives none: 't' runs from 0 to 1, 'weight' from (1, 0) to (0, 1); "" when the op has no such thing.
    `passes` are the fewest and the most passes of its kernels; where they differ, `count_passes` gives the number.
    `fresh` is how many bytes for each element of a tile it takes beside its sources, at its highest, on the processor.
    With `keeps` passes leave a bit for each element and source. With `rows` it gets tiles of whole rows. `data_free`
    ops look at weights alone, and at no text that the donors read.
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
    check: CheckValues = _nothing_wrong

    def parameter(self, name: str) -> OpParameter | None:
        """The declared parameter of that name."""
        return next((parameter for parameter in self.parameters if parameter.name == name), None)
