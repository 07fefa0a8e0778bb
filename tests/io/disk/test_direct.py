"""Writes and reads past the page cache: whole blocks go past it, edges through it, and the bytes are the same."""

from __future__ import annotations

import errno
import mmap
import os
import random
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stacker.io.disk.direct import DIRECT_ALIGNMENT, Reader, Writer
from tests.io.images import xfs

SIZE = 64 * DIRECT_ALIGNMENT


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of a known size, without holes."""
    path = tmp_path / "file"
    path.write_bytes(b"\xaa" * 2 * SIZE)
    return path


@pytest.fixture
def needs_direct(tmp_path: Path) -> None:
    """Skip the test where the filesystem has no O_DIRECT."""
    with (tmp_path / "trial").open("w+b") as trial, Writer(trial.fileno()) as writer:
        if not writer.write_blocks(buffer(DIRECT_ALIGNMENT, 0), 0):
            pytest.skip("the filesystem of temporary files has no O_DIRECT")


def buffer(nbytes: int, residue: int) -> memoryview:
    """Random bytes at an address with this residue modulo the alignment."""
    memory = memoryview(mmap.mmap(-1, nbytes + DIRECT_ALIGNMENT))
    memory[residue : residue + nbytes] = random.Random(nbytes).randbytes(nbytes)
    return memory[residue : residue + nbytes]


def written(path: Path, pieces: list[tuple[memoryview, int]]) -> tuple[bytes, bool]:
    """The file's bytes after these writes, and whether writes still go past the cache."""
    fd = os.open(path, os.O_RDWR)
    try:
        with Writer(fd) as writer:
            for data, offset in pieces:
                writer.write(data, offset)
            return path.read_bytes(), writer.direct
    finally:
        os.close(fd)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(nbytes=st.integers(0, SIZE), offset=st.integers(0, SIZE), aligned=st.booleans())
def test_bytes_arrive(file: Path, nbytes: int, offset: int, aligned: bool) -> None:
    """Any number of bytes is written at any offset, and bytes around them are unchanged."""
    file.write_bytes(b"\xaa" * 2 * SIZE)
    data = buffer(nbytes, offset % DIRECT_ALIGNMENT if aligned else (offset + 8) % DIRECT_ALIGNMENT)
    content, _ = written(file, [(data, offset)])
    assert content == b"\xaa" * offset + data + b"\xaa" * (2 * SIZE - offset - nbytes)


@pytest.mark.usefixtures("needs_direct")
def test_blocks_go_past_the_cache(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write is one call for the whole blocks and one for each edge."""
    calls: list[tuple[int, int]] = []
    whole = os.pwrite

    def noted(fd: int, data: memoryview, offset: int) -> int:
        calls.append((offset, len(data)))
        return whole(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", noted)
    _, direct = written(file, [(buffer(40 * DIRECT_ALIGNMENT, 100), 100)])
    assert direct
    assert sorted(calls) == [
        (100, DIRECT_ALIGNMENT - 100),
        (DIRECT_ALIGNMENT, 39 * DIRECT_ALIGNMENT),
        (40 * DIRECT_ALIGNMENT, 100),
    ]


def test_neighbours_in_one_block_keep_their_bytes(file: Path) -> None:
    """Threads that write neighbouring pieces of one block do not overwrite each other."""
    edges = [0, *(number * 20 * DIRECT_ALIGNMENT + 1000 * number for number in range(1, 6))]
    pieces = [(buffer(end - begin, begin % DIRECT_ALIGNMENT), begin) for begin, end in pairwise(edges)]
    fd = os.open(file, os.O_RDWR)
    with Writer(fd) as writer, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda piece: writer.write(*piece), pieces))
    os.close(fd)
    assert file.read_bytes()[: edges[-1]] == b"".join(data for data, _ in pieces)


def test_a_filesystem_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without O_DIRECT all bytes are written through the cache."""
    whole = os.open

    def refusing(path: Path | str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, "Invalid argument")
        return whole(path, flags, mode)

    monkeypatch.setattr(os, "open", refusing)
    path = tmp_path / "file"
    path.touch()
    data = buffer(40 * DIRECT_ALIGNMENT, 0)
    assert written(path, [(data, 0)]) == (bytes(data), False)


def test_a_filesystem_of_larger_blocks(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a filesystem with larger blocks nothing is written past the cache."""
    status = os.statvfs(file)
    monkeypatch.setattr(os, "fstatvfs", lambda _: os.statvfs_result((2 * DIRECT_ALIGNMENT, *status[1:])))
    data = buffer(40 * DIRECT_ALIGNMENT, 0)
    content, direct = written(file, [(data, 0)])
    assert (content[: len(data)], direct) == (bytes(data), False)


@pytest.mark.usefixtures("needs_direct")
def test_room_is_taken_at_once(tmp_path: Path) -> None:
    """`reserve` allocates large ranges and ignores small ones."""
    path = tmp_path / "file"
    with path.open("w+b") as opened, Writer(opened.fileno()) as writer:
        writer.reserve(0, 1000)
        assert path.stat().st_size == 0
        writer.reserve(DIRECT_ALIGNMENT, 4 << 20)
        assert path.stat().st_blocks * 512 >= 4 << 20


def test_a_full_disk_is_reported_by_reserve(tmp_path: Path) -> None:
    """Reserving more than is free is ENOSPC."""
    with xfs(tmp_path) as place, (place / "file").open("w+b") as opened, Writer(opened.fileno()) as writer:
        with pytest.raises(OSError, match="No space left") as caught:
            writer.reserve(0, 1 << 40)
        assert caught.value.errno == errno.ENOSPC


def test_a_closed_writer_writes_through_the_cache(file: Path) -> None:
    """A closed Writer still writes, through the cache, and leaves the file open."""
    fd = os.open(file, os.O_RDWR)
    with Writer(fd) as writer:
        pass
    writer.write(memoryview(b"abc"), 0)
    os.close(fd)
    assert file.read_bytes()[:3] == b"abc"


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=st.integers(0, 2 * SIZE), nbytes=st.integers(0, SIZE), offset=st.integers(0, 2 * SIZE))
def test_bytes_are_read(tmp_path: Path, size: int, nbytes: int, offset: int) -> None:
    """`read` returns the bytes asked for, or fewer at the end of the file."""
    path = tmp_path / "file"
    path.write_bytes(random.Random(size).randbytes(size))
    with path.open("rb") as file, Reader(file.fileno()) as reader:
        assert reader.read(nbytes, offset) == path.read_bytes()[offset : offset + nbytes]


def test_short_reads_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`read` returns all bytes where the system reads fewer than it is asked for."""
    path, whole = tmp_path / "file", os.pread
    path.write_bytes(random.Random(0).randbytes(1_000))
    monkeypatch.setattr(os, "pread", lambda fd, nbytes, offset: whole(fd, -(-nbytes // 2), offset))
    with path.open("rb") as file, Reader(file.fileno()) as reader:
        assert reader.read(900, 50) == path.read_bytes()[50:950]
        assert reader.read(900, 500) == path.read_bytes()[500:]


def test_what_is_read_is_on_the_disk(tmp_path: Path) -> None:
    """Bytes written past the cache are read at once by many threads, each with a buffer of its own."""
    path = tmp_path / "file"
    data = buffer(256 * DIRECT_ALIGNMENT, 0)
    with path.open("w+b") as file, Writer(file.fileno()) as writer, Reader(file.fileno()) as reader:
        writer.write(data, 0)
        with ThreadPoolExecutor(8) as pool:
            found = pool.map(
                lambda at: bytes(reader.read(20 * DIRECT_ALIGNMENT, at)) == data[at : at + 20 * DIRECT_ALIGNMENT],
                range(0, DIRECT_ALIGNMENT * 200, 5000),
            )
            assert all(found)


def test_a_disk_that_refuses_is_read_by_way_of_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a direct read fails, the file is read through the cache."""
    path = tmp_path / "file"
    path.write_bytes(buffer(SIZE, 0))

    def refusing(*_: object) -> int:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "preadv", refusing)
    with path.open("rb") as file, Reader(file.fileno()) as reader:
        assert reader.read(SIZE, 0) == path.read_bytes()
