"""On a filesystem that clones blocks, moves take no disk space."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from stacker.io.disk.direct import Writer
from stacker.io.disk.moves import Moved, can_clone, move
from tests.io.images import xfs

BLOCK = 4096
SIZE = 8 << 20


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An XFS with a dense file of 8 MB in it."""
    with xfs(tmp_path_factory.mktemp("images")) as mounted:
        (mounted / "source").write_bytes(random.Random(1).randbytes(SIZE))
        os.sync()
        yield mounted


def used(place: Path) -> int:
    """Bytes of the filesystem that are in use."""
    os.sync()
    status = os.statvfs(place)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def moved_on(place: Path, begin: int, to: int, nbytes: int, chunk: int = 64 << 20) -> tuple[Moved, list[int]]:
    """Move a range of the source into a new file and compare the bytes; also returns the progress calls."""
    progress: list[int] = []
    target = place / "target"
    target.unlink(missing_ok=True)
    with (
        (place / "source").open("rb") as source,
        target.open("w+b") as written,
        Writer(written.fileno()) as writer,
    ):
        written.truncate(to + nbytes + 10)
        moved = move(source.fileno(), begin, writer, to, nbytes, chunk=chunk, progress=progress.append)
    assert target.read_bytes()[to : to + nbytes] == (place / "source").read_bytes()[begin : begin + nbytes]
    assert target.stat().st_size == to + nbytes + 10
    return moved, progress


def test_the_block_size_is_found_by_trying(place: Path) -> None:
    """Blocks can be cloned within the filesystem, not into it or out of it."""
    assert can_clone(place / "source", place) == BLOCK
    assert can_clone(Path(__file__), place) is None
    assert can_clone(place / "source", Path("/dev/shm")) is None
    (place / "small").write_bytes(b"x")
    assert can_clone(place / "small", place) == BLOCK


def test_clones_take_no_room(place: Path) -> None:
    """Whole blocks are cloned, edges of less than a block are copied."""
    before = used(place)
    moved, progress = moved_on(place, 100, 100 + 3 * BLOCK, SIZE - 200, chunk=1 << 20)
    assert moved == Moved(cloned=SIZE - 2 * BLOCK, copied=2 * BLOCK - 200)
    assert sum(progress) == SIZE - 200
    assert len(progress) == 10
    assert used(place) - before <= 16 * BLOCK


@pytest.mark.parametrize("to", [101, BLOCK - 1, 100 + BLOCK // 2])
def test_runs_at_other_offsets_are_copied(place: Path, to: int) -> None:
    """Runs whose offsets differ modulo the block are copied."""
    assert moved_on(place, 100, to, 100_000)[0] == Moved(copied=100_000)


@pytest.mark.parametrize("nbytes", [1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK])
@pytest.mark.parametrize("begin", [0, 1, BLOCK])
def test_small_runs(place: Path, begin: int, nbytes: int) -> None:
    """Runs within a block, of one block, and across block boundaries are moved."""
    moved, _ = moved_on(place, begin, begin + BLOCK, nbytes)
    assert moved.cloned + moved.copied == nbytes
    assert moved.cloned % BLOCK == 0


def test_clones_of_holes_are_holes(place: Path) -> None:
    """A clone of a sparse donor is sparse."""
    with (place / "sparse").open("wb") as file:
        file.truncate(100 << 20)
    before = used(place)
    with (
        (place / "sparse").open("rb") as source,
        (place / "t").open("w+b") as target,
        Writer(target.fileno()) as writer,
    ):
        target.truncate(100 << 20)
        assert move(source.fileno(), 0, writer, 0, 100 << 20) == Moved(cloned=100 << 20)
    assert used(place) - before <= 16 * BLOCK
