"""The byte engine: by every method the target gets the source's bytes, and holes stay holes."""

from __future__ import annotations

import errno
import fcntl
import os
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stacker.errors import DonorError, StorageError
from stacker.io.disk import copies
from stacker.io.disk.direct import Writer
from stacker.io.disk.moves import Moved, can_clone, move

SIZE = 300_000


@contextmanager
def opened(source: Path, target: Path) -> Iterator[tuple[int, Writer]]:
    """Open a source to read and a target to write."""
    fds = os.open(source, os.O_RDONLY), os.open(target, os.O_RDWR | os.O_CREAT)
    try:
        with Writer(fds[1]) as writer:
            yield fds[0], writer
    finally:
        for fd in fds:
            os.close(fd)


def refused(*_: Any) -> int:
    """A system call that fails as between two filesystems."""
    raise OSError(errno.EXDEV, "Invalid cross-device link")


@pytest.fixture
def cached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turn direct writes off."""
    monkeypatch.setattr(copies, "MIN_DIRECT_BYTES", 1 << 60)


@pytest.fixture(params=["past the cache", "kernel", "sendfile", "by hand"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each copy method, with the ones before it failing."""
    if request.param == "past the cache":
        return str(request.param)
    request.getfixturevalue("cached")
    if request.param != "kernel":
        monkeypatch.setattr(os, "copy_file_range", refused)
    if request.param == "by hand":
        monkeypatch.setattr(os, "sendfile", refused)
    return str(request.param)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file without holes."""
    path = tmp_path / "source"
    path.write_bytes(random.Random(1).randbytes(SIZE))
    return path


@pytest.mark.usefixtures("way")
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, SIZE), st.integers(0, SIZE), st.integers(0, SIZE), st.sampled_from([1000, 4096, 1 << 20]))
def test_bytes_arrive(source: Path, begin: int, nbytes: int, to: int, chunk: int) -> None:
    """Any range is copied to any offset, bytes around it are unchanged, and progress adds up."""
    nbytes = min(nbytes, SIZE - begin)
    target = source.with_name("target")
    target.write_bytes(b"\xaa" * SIZE)
    progress: list[int] = []
    with opened(source, target) as (read, write):
        moved = move(read, begin, write, to, nbytes, chunk=chunk, progress=progress.append)
    content = target.read_bytes()
    assert content[to : to + nbytes] == source.read_bytes()[begin : begin + nbytes]
    assert set(content[:to] + content[to + nbytes : SIZE]) <= {0xAA, 0}
    assert moved == Moved(copied=nbytes)
    assert sum(progress) == nbytes


@pytest.mark.usefixtures("way")
def test_other_filesystems(source: Path, tmp_path: Path) -> None:
    """Bytes are copied between two filesystems."""
    target = Path("/dev/shm") / f"stacker-{tmp_path.name}"
    try:
        with opened(source, target) as (read, write):
            assert move(read, 5, write, 7, 200_000) == Moved(copied=200_000)
        assert target.read_bytes()[7:] == source.read_bytes()[5:200_005]
    finally:
        target.unlink()


@pytest.mark.usefixtures("cached")
def test_short_counts_are_gone_on_with(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short count of copy_file_range is continued."""
    whole = os.copy_file_range
    monkeypatch.setattr(os, "copy_file_range", lambda a, b, count, *rest: whole(a, b, min(count, 999), *rest))
    with opened(source, tmp_path / "target") as (read, write):
        assert move(read, 0, write, 0, SIZE) == Moved(copied=SIZE)
    assert (tmp_path / "target").read_bytes() == source.read_bytes()


@pytest.mark.usefixtures("cached")
def test_a_way_that_fails_midway_is_left(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a method fails midway, the next one copies the rest."""
    whole, calls = os.copy_file_range, iter(range(9))

    def failing(*arguments: Any) -> int:
        return whole(*arguments) if next(calls) < 3 else refused()

    monkeypatch.setattr(os, "copy_file_range", failing)
    with opened(source, tmp_path / "target") as (read, write):
        move(read, 0, write, 0, SIZE, chunk=10_000)
    assert (tmp_path / "target").read_bytes() == source.read_bytes()


@pytest.mark.usefixtures("way")
def test_a_source_that_ends_early_is_truncated(source: Path, tmp_path: Path) -> None:
    """A truncated source is a DonorError with its path and length."""
    with (
        opened(source, tmp_path / "target") as (read, write),
        pytest.raises(DonorError, match=f"byte {SIZE}") as caught,
    ):
        move(read, SIZE - 10, write, 0, 20)
    assert str(caught.value).startswith(f"{source}: ")


@pytest.mark.usefixtures("way")
def test_a_sparse_source_that_ends_early_is_truncated(tmp_path: Path) -> None:
    """The end of a sparse source is an error, not a hole."""
    source = tmp_path / "source"
    with source.open("wb") as file:
        file.truncate(100_000)
    with opened(source, tmp_path / "target") as (read, write), pytest.raises(DonorError, match="byte 100000"):
        move(read, 0, write, 0, 200_000)


RUNS = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9000)), max_size=4)


@pytest.mark.usefixtures("way")
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(RUNS, RUNS, st.integers(0, 9000), st.integers(0, 9000))
def test_sparse_files(tmp_path: Path, stored: Any, there: Any, begin: int, to: int) -> None:
    """Sparse sources are copied onto sparse targets, with zeros where the source has holes."""
    size = 64 * 4096
    source, target = tmp_path / "source", tmp_path / "target"
    for path, runs in ((source, stored), (target, there)):
        with path.open("wb") as file:
            file.truncate(size)
            for block, nbytes in runs:
                file.seek(block * 4096)
                file.write(bytes([block + 1]) * min(nbytes, size - block * 4096))
    nbytes = size - max(begin, to)
    with opened(source, target) as (read, write):
        moved = move(read, begin, write, to, nbytes)
    assert moved.copied + moved.holes == nbytes
    assert target.read_bytes()[to : to + nbytes] == source.read_bytes()[begin : begin + nbytes]


def test_holes_stay_holes(tmp_path: Path) -> None:
    """Copying a gigabyte of holes takes no disk space."""
    source, target = tmp_path / "source", tmp_path / "target"
    with source.open("wb") as file:
        file.truncate(1 << 30)
        file.seek(1 << 29)
        file.write(b"x" * 5000)
    with target.open("wb") as file:
        file.truncate(1 << 30)
    with opened(source, target) as (read, write):
        moved = move(read, 0, write, 0, 1 << 30)
    assert moved == Moved(copied=8192, holes=(1 << 30) - 8192)
    assert target.stat().st_blocks * 512 <= 64 << 10


@pytest.mark.usefixtures("way")
def test_a_full_disk_is_explained(source: Path) -> None:
    """A full disk is a StorageError of the target."""
    full = pytest.raises(StorageError, match="No space left")
    with opened(source, Path("/dev/full")) as (read, write), full as caught:
        move(read, 0, write, 0, SIZE)
    assert "make room" in str(caught.value)


@pytest.mark.usefixtures("cached")
def test_a_failing_source_is_tried_again(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read that fails twice is tried a third time."""
    whole, calls = os.preadv, iter(range(99))

    def failing(*arguments: Any) -> int:
        if next(calls) < 2:
            raise OSError(errno.EIO, "Input/output error")
        return whole(*arguments)

    monkeypatch.setattr(copies, "_RETRY_PAUSES", (0, 0))
    monkeypatch.setattr(os, "copy_file_range", refused)
    monkeypatch.setattr(os, "sendfile", refused)
    monkeypatch.setattr(os, "preadv", failing)
    with opened(source, tmp_path / "target") as (read, write):
        move(read, 0, write, 0, SIZE)
    assert (tmp_path / "target").read_bytes() == source.read_bytes()


@pytest.mark.usefixtures("cached")
def test_a_source_that_cannot_be_read_is_named(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After three failures, a DonorError names file and offset."""
    monkeypatch.setattr(copies, "_RETRY_PAUSES", (0, 0))
    for call in ("copy_file_range", "sendfile", "preadv"):
        monkeypatch.setattr(os, call, refused)
    with opened(source, tmp_path / "target") as (read, write), pytest.raises(DonorError, match="bytes at 77: "):
        move(read, 77, write, 0, 100)


def test_progress_can_stop_a_move(source: Path, tmp_path: Path) -> None:
    """An exception of `progress` stops the move and is raised."""
    calls = iter(range(9))

    def stop(_: int) -> None:
        if next(calls):
            raise KeyboardInterrupt

    with opened(source, tmp_path / "target") as (read, write), pytest.raises(KeyboardInterrupt):
        move(read, 0, write, 0, SIZE, chunk=4096, progress=stop)
    assert (tmp_path / "target").stat().st_size == 8192


@pytest.mark.usefixtures("way")
def test_threads_do_not_disturb_each_other(source: Path, tmp_path: Path) -> None:
    """Eight threads share two descriptors."""
    with opened(source, tmp_path / "target") as (read, write), ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda k: move(read, k, write, k, 1000, chunk=300), range(0, SIZE, 1000)))
    assert (tmp_path / "target").read_bytes() == source.read_bytes()


def test_blocks_that_are_refused_go_by_way_of_the_cache(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When direct writes fail with EINVAL, the bytes are written through the cache."""
    whole = os.pwrite

    def picky(fd: int, data: memoryview, offset: int) -> int:
        if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT:
            raise OSError(errno.EINVAL, "Invalid argument")
        return whole(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", picky)
    with opened(source, tmp_path / "target") as (read, write):
        assert move(read, 0, write, 0, SIZE) == Moved(copied=SIZE)
    assert (tmp_path / "target").read_bytes() == source.read_bytes()


def test_no_clones_where_there_are_none(source: Path, tmp_path: Path) -> None:
    """Trying to clone leaves no file."""
    before = sorted(tmp_path.iterdir())
    assert can_clone(source, Path("/dev/shm")) is None
    assert can_clone(source, tmp_path / "absent") is None
    assert can_clone(tmp_path / "absent", tmp_path) is None
    assert sorted(tmp_path.iterdir()) == before
