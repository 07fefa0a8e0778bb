"""Decides in which shard and at which byte offset every output tensor is stored, and makes the shards' headers.

Shards take tensors in model order. Inside a shard, copied tensors keep the order of their donor's file, so that many
are copied in one run. The data of a shard starts so that most copied bytes keep the offset within a disk block that
they have in their donor's file, which allows writes that bypass the page cache. If `Layout.block` is set, all long runs
keep that offset, so that a filesystem can clone their blocks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from stacker.core.plan.packing import SAFETENSORS, HeaderRequest, Packing
from stacker.core.plan.plan import Shard, Step
from stacker.core.plan.shard_layout import BLOCK, Layout
from stacker.core.plan.tensors import PlannedTensor
from stacker.core.values.donor import Donor, Extent, collect_donors
from stacker.core.values.expression import Copy

WORTH_A_SHARD = 64 * 2**20
"""A run of copied bytes that is at least this long starts a new shard if it could not be cloned otherwise."""
Item = TypeVar("Item")


def group_runs(items: Iterable[Item], locate: Callable[[Item], tuple[object, int, int] | None]) -> Iterator[list[Item]]:
    """Group consecutive items whose source bytes follow each other in one file.

    `locate` returns (file, offset, number of bytes) for an item, or None if the item must form a group by itself.
    """
    run: list[Item] = []
    expected: tuple[object, int] | None = None
    for item in items:
        source = locate(item)
        if run and (source is None or source[:2] != expected):
            yield run
            run = []
        run.append(item)
        expected = source and (source[0], source[1] + source[2])
    if run:
        yield run


@dataclass(frozen=True, slots=True)
class _Sourced:
    """An output tensor, with the place of its bytes in the donor's files if it is copied.

    `donor` is the number of the donor and `extent` the place in its files. For a tensor that is computed, `donor` is -1
    and `extent` is None.
    """

    planned: PlannedTensor
    donor: int = -1
    extent: Extent | None = None

    @property
    def nbytes(self) -> int:
        return self.planned.tensor.nbytes

    def source(self) -> tuple[object, int, int] | None:
        """(File, byte offset, number of bytes) that the tensor is copied from; None if the tensor is computed."""
        return ((self.donor, self.extent.file), self.extent.offset, self.extent.nbytes) if self.extent else None


@dataclass(frozen=True, slots=True)
class _Group:
    """The tensors of one shard in file order.

    `residue` is the offset of the shard's data in its file, modulo the block size.
    """

    members: tuple[_Sourced, ...]
    residue: int = 0


def lay_out(
    tensors: Sequence[PlannedTensor], donors: Mapping[str, Donor], layout: Layout, packing: Packing = SAFETENSORS
) -> tuple[tuple[Step, ...], tuple[Shard, ...]]:
    """Assign every tensor a shard and a byte offset.

    Returns the steps, one for each tensor in the order of `tensors`, and the shards.
    """
    sourced = [*_find_sources(tensors, donors)]
    groups = [
        part
        for group in _fill(sourced, layout.shard_size)
        for part in _split(_in_file_order(group, packing), layout.block, packing)
    ]
    steps: dict[str, Step] = {}
    shards = []
    for number, group in enumerate(groups):
        shard, placed = _lay_out_shard(group, number, len(groups), layout.block, packing)
        shards.append(shard)
        steps |= {step.tensor.name: step for step in placed}
    return tuple(steps[planned.tensor.name] for planned in tensors), tuple(shards)


def _find_sources(tensors: Sequence[PlannedTensor], donors: Mapping[str, Donor]) -> Iterator[_Sourced]:
    known = collect_donors(donors)
    order = {name: number for number, name in enumerate(known)}
    for planned in tensors:
        if isinstance(planned.expression, Copy):
            ref = planned.expression.tensor
            yield _Sourced(planned, order[ref.donor], known[ref.donor].find_stored(ref.name).extent)
        else:
            yield _Sourced(planned)


def _fill(tensors: Sequence[_Sourced], shard_size: int) -> Iterator[list[_Sourced]]:
    """Divide the tensors into groups of at most `shard_size` bytes; a tensor that is larger forms a group by itself."""
    group: list[_Sourced] = []
    size = 0
    for each in tensors:
        if group and size + each.nbytes > shard_size:
            yield group
            group, size = [], 0
        group.append(each)
        size += each.nbytes
    yield group


def _in_file_order(group: Sequence[_Sourced], packing: Packing) -> list[_Sourced]:
    """Sort tensors by element width if the packing does, the widest first; then copied ones before computed ones.

    Copied tensors keep the order of the donors' files; the second copy of a donor tensor comes after all first copies,
    so that it does not interrupt runs.
    """
    uses: Counter[tuple[int, int, int]] = Counter()
    keys: dict[int, tuple[int, ...]] = {}
    for number, each in enumerate(group):
        bits = -each.planned.tensor.dtype.bits if packing.sorts_by_width else 0
        if each.extent is None:
            keys[number] = (bits, 1, 0, 0, 0, number)
            continue
        source = (each.donor, each.extent.file, each.extent.offset)
        keys[number] = (bits, 0, uses[source], *source)
        uses[source] += 1
    return [group[number] for number in sorted(keys, key=keys.__getitem__)]


def _split(members: list[_Sourced], block: int | None, packing: Packing) -> Iterator[_Group]:
    """Divide a shard's tensors: start a new shard before each long run of copies that otherwise could not be cloned.

    `block` is the size of a disk block in bytes; if it is None, all tensors stay in one shard.
    """
    if block is None:
        yield _Group(tuple(members), _best_residue(members, packing))
        return
    group: list[_Sourced] = []
    residue: int | None = None
    position = 0
    for run in group_runs(members, _Sourced.source):
        nbytes = packing.place([each.planned.tensor for each in run])[-1]
        needed = run[0].extent.offset % block if run[0].extent and nbytes >= WORTH_A_SHARD else None
        if needed is not None and residue is not None and (residue + position) % block != needed:
            yield _Group(tuple(group), residue)
            group, residue, position = [], None, 0
        if needed is not None and residue is None:
            residue = (needed - position) % block
        group += run
        position += nbytes
    yield _Group(tuple(group), residue or 0)


def _best_residue(members: Sequence[_Sourced], packing: Packing) -> int:
    """The start of a shard's data, modulo BLOCK, for which most copied bytes keep their offset within a disk block."""
    wanted: Counter[int] = Counter()
    for each, position in zip(members, packing.place([each.planned.tensor for each in members]), strict=False):
        origin = each.extent.offset if each.extent else 0
        wanted[(origin - position) % BLOCK] += each.nbytes
    return max(wanted, key=lambda residue: (wanted[residue], -residue))


def _lay_out_shard(
    group: _Group, number: int, count: int, block: int | None, packing: Packing
) -> tuple[Shard, list[Step]]:
    """Make the shard with number `number`, one of `count` shards, and the steps of its tensors.

    The header is padded so that the tensors start at `group.residue` modulo `block` (or BLOCK).
    """
    tensors = [each.planned.tensor for each in group.members]
    header = packing.make_header(HeaderRequest(tensors, number, count, group.residue, block or BLOCK))
    start = len(header.raw)
    *offsets, end = packing.place(tensors)
    steps = [
        Step(each.planned.tensor, number, start + offset, each.planned.expression)
        for each, offset in zip(group.members, offsets, strict=True)
    ]
    return Shard(packing.name_file(number, count), header.raw, start + end, header.patches, header.lock), steps
