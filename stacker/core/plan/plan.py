"""The Plan: everything a build will write, known before the first weight byte is read.

preview, plan, build, verify and every executor read this one value. Making it is `layout`, its JSON `plan_json`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum

from stacker.core.values.expression import Expression
from stacker.formats.json_object import Json
from stacker.tensors import TensorRef, TensorSpec

BLOCK = 4096
"""Bytes of a block of most filesystems."""


class LayoutKind(StrEnum):
    """How shards are laid out: plain, so that a filesystem can clone (clone), or whichever it can do (auto)."""

    AUTO = "auto"
    PLAIN = "plain"
    CLONE = "clone"


@dataclass(frozen=True, slots=True)
class Layout:
    """How shards are laid out: `shard_size` is the most bytes of tensors in one.

    With `block` (bytes), each run of copied tensors keeps its offset modulo the block so that a filesystem can clone
    it, at the price of more shards.
    """

    shard_size: int = 5_000_000_000
    block: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One output tensor: what it is, in which shard, at which byte of the shard's file, and how it is made."""

    tensor: TensorSpec
    shard: int
    offset: int
    expression: Expression


@dataclass(frozen=True, slots=True)
class Shard:
    """A file of the output: `header` is all before the tensors (length and padding included), `size` all bytes."""

    name: str
    header: bytes = field(repr=False)
    size: int


@dataclass(frozen=True, slots=True)
class Costs:
    """What a build will take, in bytes: `read` from donors, `written` to shards, `moved` of those unchanged, and `peak`
    resident memory.
    """

    read: int
    written: int
    moved: int
    peak: int


@dataclass(frozen=True, slots=True)
class Unused:
    """A donor tensor that is not in the output, and why."""

    tensor: TensorRef
    reason: str


@dataclass(frozen=True, slots=True)
class DonorIdentity:
    """What was read of a donor, so that the same plan can be told from another: header hash and size of each file."""

    name: str
    source: str
    revision: str | None
    files: tuple[tuple[str, int, str], ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole build. `steps` are in model order; `id` is a hash over everything else here and the donors' identities.

    `tied` pairs output names that are absent because they share another tensor's values.
    """

    id: str
    name: str
    config: dict[str, Json]
    steps: tuple[Step, ...]
    shards: tuple[Shard, ...]
    layout: Layout
    donors: tuple[DonorIdentity, ...]
    costs: Costs
    unused: tuple[Unused, ...] = ()
    tied: tuple[tuple[str, str], ...] = ()

    @property
    def total_size(self) -> int:
        """Bytes of all tensors, headers excluded (the index's `total_size`)."""
        return sum(step.tensor.nbytes for step in self.steps)

    @property
    def total_parameters(self) -> int:
        return sum(step.tensor.elements for step in self.steps)


@dataclass(frozen=True, slots=True)
class Report:
    """Bytes of the output by how they came about, bytes `read` from donors on the way, and how long it all took.

    `cloned` share blocks with a donor, `copied` were copied, `holes` are zeros that take no room, `computed` took
    arithmetic; `kept` were there from an earlier, interrupted run.
    """

    cloned: int = 0
    copied: int = 0
    holes: int = 0
    computed: int = 0
    read: int = 0
    kept: int = 0
    seconds: float = 0.0

    def __add__(self, other: Report) -> Report:
        return Report(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(Report)))
