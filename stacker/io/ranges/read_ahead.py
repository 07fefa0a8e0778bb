"""Divides what a build will read from servers into blocks, in the order in which the tasks need them.

Neighbouring ranges of a file become one, so that small tensors are not requested one by one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

from stacker.core.plan.tasks import Compute, CopyColumns, CopyRun, Task
from stacker.core.values.donor import DonorFile
from stacker.core.values.expression_parts import find_needed_tensors

BLOCK_BYTES = 1 << 21
"""The most bytes of one block."""
_GAP = 1 << 17
"""Ranges that are at most so many bytes apart are joined: reading the gap takes less time than another request."""


@dataclass(frozen=True, slots=True)
class Block:
    """Bytes [begin, end) of a file on a server, which are read by one request."""

    file: DonorFile
    begin: int
    end: int


def is_streamed(file: DonorFile) -> bool:
    """Whether ranges of a donor's file are read from a server."""
    return file.path is None and file.address is not None


def list_blocks(tasks: Iterable[Task]) -> tuple[Block, ...]:
    """The blocks that the tasks read from servers, each once, in the order in which they are first needed.

    Long copies are left out, because they need no blocks: they are written as they arrive.
    """
    ranges = [list(_list_ranges(task)) for task in tasks]
    blocks = _cut_into_blocks(chain.from_iterable(ranges))
    needed = (_interleave([find_blocks(blocks[each.file], each) for each in task]) for task in ranges)
    return tuple(dict.fromkeys(chain.from_iterable(needed)))


def _list_ranges(task: Task) -> Iterator[Block]:
    """The ranges of files on servers that a task reads, uncut; long copies have none."""
    match task:
        case CopyRun(file=file, source=source, nbytes=nbytes):
            if is_streamed(file) and nbytes <= BLOCK_BYTES:
                yield Block(file, source, source + nbytes)
        case Compute():
            for place in (task.places[ref] for ref in find_needed_tensors(task.expression)):
                if is_streamed(place.file):
                    yield Block(place.file, place.offset, place.offset + place.nbytes)
        case CopyColumns():
            for column in task.columns:
                if column.file and is_streamed(column.file):
                    end = column.source + (task.rows - 1) * column.stride + column.nbytes
                    yield Block(column.file, column.source, end)


def _cut_into_blocks(ranges: Iterable[Block]) -> dict[DonorFile, tuple[Block, ...]]:
    """The disjoint blocks of each file that cover all ranges, in the order of their bytes."""
    joined: dict[DonorFile, list[Block]] = {}
    for each in sorted(ranges, key=lambda each: each.begin):
        known = joined.setdefault(each.file, [])
        if known and each.begin <= known[-1].end + _GAP:
            known[-1] = Block(each.file, known[-1].begin, max(known[-1].end, each.end))
        else:
            known.append(each)
    return {file: tuple(chain.from_iterable(map(_cut, known))) for file, known in joined.items()}


def _cut(joined: Block) -> Iterator[Block]:
    for begin in range(joined.begin, joined.end, BLOCK_BYTES):
        yield Block(joined.file, begin, min(begin + BLOCK_BYTES, joined.end))


def find_blocks(blocks: Sequence[Block], wanted: Block) -> list[Block]:
    """The blocks, out of the sorted blocks of one file, that hold bytes of the range `wanted`."""
    at = max(bisect_right(blocks, wanted.begin, key=lambda block: block.begin) - 1, 0)
    found = []
    while at < len(blocks) and blocks[at].begin < wanted.end:
        if blocks[at].end > wanted.begin:
            found.append(blocks[at])
        at += 1
    return found


def _interleave(lists: Sequence[Sequence[Block]]) -> Iterator[Block]:
    """The first blocks of all lists, then the second ones, and so on: an op reads its sources side by side."""
    return (block for blocks in zip_longest(*lists) for block in blocks if block)


def group_by_file(blocks: Iterable[Block]) -> Mapping[DonorFile, Sequence[Block]]:
    """The blocks of each file, in the order of their bytes."""
    found: dict[DonorFile, list[Block]] = {}
    for block in sorted(blocks, key=lambda block: block.begin):
        found.setdefault(block.file, []).append(block)
    return found
