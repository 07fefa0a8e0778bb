"""What tasks read from servers becomes blocks: disjoint, joined where neighbours, in the order of the tasks."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from stacker.core.plan.tasks import ColumnSource, Compute, CopyColumns, CopyRun, Task, TensorBytes
from stacker.core.values.donor import DonorFile
from stacker.core.values.expression import Blend, Copy
from stacker.io.ranges import read_ahead
from stacker.io.ranges.connections import count_buffers
from stacker.io.ranges.read_ahead import Block, find_blocks, group_by_file, list_blocks
from stacker.tensors import Dtype, TensorRef

FILE = DonorFile("m.safetensors", 10**9, "0", address="hf://a/b@c/m.safetensors")
LOCAL = DonorFile("m.safetensors", 10**9, "0", path="/m.safetensors")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 100 bytes, joined over gaps of 10."""
    monkeypatch.setattr(read_ahead, "BLOCK_BYTES", 100)
    monkeypatch.setattr(read_ahead, "_GAP", 10)


def copy(begin: int, end: int, file: DonorFile = FILE) -> CopyRun:
    return CopyRun(0, 0, end - begin, file, begin)


def test_neighbours_become_one_block() -> None:
    """Small copies with small gaps are read together, and those that are far apart are not."""
    blocks = list_blocks([copy(0, 20), copy(25, 40), copy(300, 320), copy(41, 60)])
    assert [(block.begin, block.end) for block in blocks] == [(0, 60), (300, 320)]


def test_long_copies_and_local_files_need_no_blocks() -> None:
    """A copy that is longer than a block is written as it arrives, and local files are not requested."""
    assert list_blocks([copy(0, 101), copy(0, 50, LOCAL)]) == ()


def test_buffers_are_counted_only_for_servers() -> None:
    """Reading from a server holds blocks and chunks; local files need none."""
    assert count_buffers([copy(0, 50, LOCAL)]) == 0
    assert count_buffers([copy(0, 50, LOCAL), copy(0, 50)]) > 1 << 24


def test_sources_of_a_blend_are_read_side_by_side() -> None:
    """The blocks of two tensors alternate, because an op reads its sources tile by tile."""
    one, two = TensorRef("a", "one"), TensorRef("a", "two")
    places = {ref: TensorBytes(FILE, begin, Dtype.BF16, 250) for ref, begin in ((one, 0), (two, 1000))}
    blend = Compute(0, 0, 250, Blend("linear", (Copy(one), Copy(two))), Dtype.BF16, places)
    begins = [block.begin for block in list_blocks([blend])]
    assert begins == [0, 1000, 100, 1100, 200, 1200]


def test_columns_are_covered() -> None:
    """The rows that columns are taken from are read as a whole."""
    columns = CopyColumns(0, 0, 40, 10, 4, (ColumnSource(0, 10, FILE, 5, 30),))
    assert [(block.begin, block.end) for block in list_blocks([columns])] == [(5, 100 + 5)]


def test_every_wanted_byte_is_in_one_block() -> None:
    """For random ranges, blocks are disjoint, not too long, and cover all that is wanted."""
    source = random.Random(1)
    for _ in range(200):
        tasks: list[Task] = []
        for _ in range(source.randrange(1, 30)):
            begin = source.randrange(0, 3000)
            tasks.append(copy(begin, begin + source.randrange(1, 100)))
        blocks = group_by_file(list_blocks(tasks))[FILE]
        assert all(block.end - block.begin <= 100 for block in blocks)
        assert all(one.end <= other.begin for one, other in pairwise(blocks))
        for task in tasks:
            assert isinstance(task, CopyRun)
            for byte in (task.source, task.source + task.nbytes - 1):
                assert len(find_blocks(blocks, Block(FILE, byte, byte + 1))) == 1
