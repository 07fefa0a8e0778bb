"""Where every output tensor will lie: which shard, at which byte, behind which header. Pure arithmetic over sizes.

Shards take tensors in model order; inside a shard, tensors that are moved unchanged stand in the order of their donor's
file, so that they move as long runs. Data starts where most of it lies in blocks as in the donors, which lets it be
written past the page cache. With `Layout.block`, all long runs do, so that a filesystem can share the blocks instead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from stacker.core.plan.plan import BLOCK, Layout, Shard, Step
from stacker.core.plan.tensors import PlannedTensor
from stacker.core.values.donor import Donor, Extent, all_donors
from stacker.core.values.expression import Copy
from stacker.formats.index import make_shard_name
from stacker.formats.safetensors import make_header

WORTH_A_SHARD = 64 * 2**20
"""Bytes of a run below which it is copied rather than given a shard of its own to be cloned in."""


@dataclass(frozen=True, slots=True)
class _Placed:
    """A tensor with its source's place, if it is moved unchanged: the donor, then file, offset and length."""

    making: PlannedTensor
    donor: int = -1
    extent: Extent | None = None


@dataclass(frozen=True, slots=True)
class _Group:
    """The tensors of one shard in file order, and what the data's start must be modulo the block."""

    members: tuple[_Placed, ...]
    residue: int = 0


def lay_out(
    makings: Sequence[PlannedTensor], donors: Mapping[str, Donor], layout: Layout
) -> tuple[tuple[Step, ...], tuple[Shard, ...]]:
    """Steps in the order of `makings`, and the shards they lie in."""
    placed = [*_places(makings, donors)]
    groups = [
        part for group in _fill(placed, layout.shard_size) for part in _split(_in_file_order(group), layout.block)
    ]
    steps: dict[str, Step] = {}
    shards = []
    for number, group in enumerate(groups):
        shard, laid = _lay_shard(group, number, len(groups), layout.block)
        shards.append(shard)
        steps |= {step.tensor.name: step for step in laid}
    return tuple(steps[making.tensor.name] for making in makings), tuple(shards)


def _places(makings: Sequence[PlannedTensor], donors: Mapping[str, Donor]) -> Iterator[_Placed]:
    known = all_donors(donors)
    order = {name: number for number, name in enumerate(known)}
    for making in makings:
        match making.expression:
            case Copy(tensor):
                yield _Placed(making, order[tensor.donor], known[tensor.donor].tensors[tensor.name].extent)
            case _:
                yield _Placed(making)


def _fill(placed: Sequence[_Placed], most: int) -> Iterator[list[_Placed]]:
    """Cut the tensors into runs of at most `most` bytes each; a larger tensor has a shard of its own."""
    group: list[_Placed] = []
    size = 0
    for each in placed:
        nbytes = each.making.tensor.nbytes
        if group and size + nbytes > most:
            yield group
            group, size = [], 0
        group.append(each)
        size += nbytes
    yield group


def _in_file_order(group: Sequence[_Placed]) -> list[_Placed]:
    """Widest elements first, so that all stay aligned; then what is moved, by donor, file and offset; then the rest.

    A donor tensor used twice in a shard comes a second time only after all first uses, so that it does not break runs.
    """
    uses: Counter[tuple[int, int, int]] = Counter()
    keys: dict[int, tuple[int, ...]] = {}
    for number, each in enumerate(group):
        bits = -each.making.tensor.dtype.bits
        if each.extent is None:
            keys[number] = (bits, 1, 0, 0, 0, number)
            continue
        source = (each.donor, each.extent.file, each.extent.offset)
        keys[number] = (bits, 0, uses[source], *source)
        uses[source] += 1
    return [group[number] for number in sorted(keys, key=keys.__getitem__)]


def _split(members: list[_Placed], block: int | None) -> Iterator[_Group]:
    """Start a new shard wherever a long run of moved bytes could not be cloned behind what stands before it."""
    if block is None:
        yield _Group(tuple(members), _residue(members))
        return
    group: list[_Placed] = []
    residue: int | None = None
    position = 0
    for run in _runs(members):
        nbytes = sum(each.making.tensor.nbytes for each in run)
        wants = run[0].extent.offset % block if run[0].extent and nbytes >= WORTH_A_SHARD else None
        if wants is not None and residue is not None and (residue + position) % block != wants:
            yield _Group(tuple(group), residue)
            group, residue, position = [], None, 0
        if wants is not None and residue is None:
            residue = (wants - position) % block
        group += run
        position += nbytes
    yield _Group(tuple(group), residue or 0)


def _residue(members: Sequence[_Placed]) -> int:
    """Where data must start so that the most bytes lie in blocks as in their donor, or as they are computed."""
    wanted: Counter[int] = Counter()
    position = 0
    for each in members:
        origin = each.extent.offset if each.extent else 0
        wanted[(origin - position) % BLOCK] += each.making.tensor.nbytes
        position += each.making.tensor.nbytes
    return max(wanted, key=lambda residue: (wanted[residue], -residue))


def _runs(members: Sequence[_Placed]) -> Iterator[list[_Placed]]:
    """Members cut wherever one does not follow the one before it in the same donor file."""
    run: list[_Placed] = []
    for each in members:
        if run and not _follows(run[-1], each):
            yield run
            run = []
        run.append(each)
    if run:
        yield run


def _follows(before: _Placed, after: _Placed) -> bool:
    if before.extent is None or after.extent is None or before.donor != after.donor:
        return False
    end = before.extent.offset + before.extent.nbytes
    return before.extent.file == after.extent.file and end == after.extent.offset


def _lay_shard(group: _Group, number: int, count: int, block: int | None) -> tuple[Shard, list[Step]]:
    """One shard: the header of its tensors, padded with spaces to where the data must start."""
    tensors = [each.making.tensor for each in group.members]
    header = make_header(tensors, residue=group.residue, step=block or BLOCK)
    steps = []
    offset = len(header)
    for each in group.members:
        steps.append(Step(each.making.tensor, number, offset, each.making.expression))
        offset += each.making.tensor.nbytes
    return Shard(make_shard_name(number, count), header, offset), steps
