"""Defines the Plan: everything that a build will write, known before the first weight is read.

The commands preview, plan, build and verify and all executors use a Plan; the module `planning` makes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from stacker.core.plan.shard_layout import Layout
from stacker.core.values.expression import Expression
from stacker.core.values.metadata import MetadataEntry, Patch
from stacker.formats.json_object import Json
from stacker.tensors import TensorRef, TensorSpec


@dataclass(frozen=True, slots=True)
class Step:
    """One output tensor: its shard, its byte offset in the shard's file, and the expression that computes it."""

    tensor: TensorSpec
    shard: int
    offset: int
    expression: Expression


@dataclass(frozen=True, slots=True)
class Shard:
    """A weight file of the output: `header` has the bytes before the tensor data, `size` is the file size in bytes.

    Zeros of the header at `patches` are replaced before it is written. Its bytes [lock[0], lock[0] + lock[1]) are
    spaces, in whose place the lock is written when the output is complete.
    """

    name: str
    header: bytes = field(repr=False)
    size: int
    patches: tuple[Patch, ...] = field(default=(), repr=False)
    lock: tuple[int, int] = (0, 0)

    def mask_lock(self, header: bytes) -> bytes:
        """A header that was read from the file, with spaces in place of the lock."""
        at, room = self.lock
        return header[:at] + b" " * room + header[at + room :] if room else header


@dataclass(frozen=True, slots=True)
class Costs:
    """The costs of a build in bytes: `read` from donors, `written` to shards, `peak` resident memory.

    `moved` is the part of `written` that is copied from donors unchanged.
    """

    read: int
    written: int
    moved: int
    peak: int


@dataclass(frozen=True, slots=True)
class Unused:
    """A donor tensor that no output tensor uses, and the reason."""

    tensor: TensorRef
    reason: str


@dataclass(frozen=True, slots=True)
class DonorIdentity:
    """What a plan stores to recognise a donor; `files` has (name, size in bytes, header hash) of each donor file."""

    name: str
    source: str
    revision: str | None
    files: tuple[tuple[str, int, str], ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A full description of a build; `steps` are in model order (embedding, layers, head).

    `id` is a hash of all other fields except `costs` and the sources of the donors.

    `tied` has pairs of tensor names: the first tensor is not written because it has the same values as the second.
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
    metadata: tuple[MetadataEntry, ...] = field(default=(), repr=False)
    """The metadata of a GGUF file; empty if the output is safetensors."""
    descriptions: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What the headers of safetensors files say of quantised tensors, see `descriptions`."""

    @property
    def total_size(self) -> int:
        """The bytes of all tensors without the shards' headers, as `total_size` in model.safetensors.index.json."""
        return sum(step.tensor.nbytes for step in self.steps)

    @property
    def total_parameters(self) -> int:
        return sum(step.tensor.elements for step in self.steps)


@dataclass(frozen=True, slots=True)
class Report:
    """What a build did: bytes of the output by origin, bytes `read` from donors, and the time it took in seconds.

    `cloned` bytes share disk blocks with a donor's file, `copied` bytes were copied, `holes` are zeros that occupy no
    disk, `computed` bytes were calculated, and `kept` bytes were written by an earlier, interrupted run. `non_finite`
    names the tensors with computed values that are infinite or not a number.
    """

    cloned: int = 0
    copied: int = 0
    holes: int = 0
    computed: int = 0
    read: int = 0
    kept: int = 0
    seconds: float = 0.0
    non_finite: tuple[str, ...] = ()

    def __add__(self, other: Report) -> Report:
        return Report(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(Report)))
