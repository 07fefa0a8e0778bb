"""The cache of a machine: a file is fetched once by all processes, is complete or absent, and makes room for others."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from stacker.errors import DonorError, SpecError, StackerError
from stacker.formats.safetensors import RemoteStamp
from stacker.io.ranges import fetching, node_cache
from stacker.io.ranges.fetching import fetch_range
from stacker.io.ranges.node_cache import NodeCache, find_node_cache
from stacker.io.ranges.remote_file import RemoteFile


@dataclass
class Served:
    """A file of a server that counts requests, and may answer slowly or stop answering; see RemoteFile."""

    source: str = "s3://bucket/a"
    data: bytes = bytes(range(256)) * 400
    etag: str = '"1"'
    fails: bool = False
    wait: float = 0.0
    requests: list[tuple[int, int]] = field(default_factory=list)

    @property
    def stamp(self) -> RemoteStamp:
        return RemoteStamp(self.etag, len(self.data))

    def read(self, begin: int, end: int) -> Iterator[bytes]:
        self.requests.append((begin, end))
        time.sleep(self.wait)
        if self.fails and begin:
            raise OSError(errno.EIO, "broken")
        yield self.data[begin:end]

    def find_pause(self, error: Exception) -> float | None:
        del error
        return None

    def explain(self, error: Exception) -> StackerError:
        return DonorError.of(str(error))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NodeCache:
    """An empty cache with room for two of the files; requests are small."""
    monkeypatch.setattr(node_cache, "_REQUEST", 30_000)
    monkeypatch.setattr(fetching, "PAUSES", (0.0,))
    return NodeCache(tmp_path / "cache", 250_000)


NEVER = threading.Event()


def read_all(file: RemoteFile) -> bytes:
    """All bytes of a file."""
    return b"".join(fetch_range(file, 0, file.stamp.size, NEVER))


def list_files(cache: NodeCache) -> list[Path]:
    """The files in the cache's folder, but for its lock."""
    return sorted(path for path in cache.folder.iterdir() if path.name != "lock")


def test_a_file_is_fetched_once(cache: NodeCache) -> None:
    """Several readers at once cause one request for each byte, and get the file's bytes; so does a later one."""
    served = Served(wait=0.05)
    with ThreadPoolExecutor(4) as pool:
        found = [*pool.map(lambda _: read_all(cache.keep(served, NEVER)), range(4))]
    assert set(found) == {served.data}
    assert sorted(served.requests) == [(at, min(at + 30_000, 102_400)) for at in range(0, 102_400, 30_000)]
    assert read_all(cache.keep(served, NEVER)) == served.data
    assert len(list_files(cache)) == 1
    assert b"".join(cache.keep(served, NEVER).read(1000, 1300)) == served.data[1000:1300]


def test_another_version_is_another_file(cache: NodeCache) -> None:
    """A file with another ETag is fetched, and one without a version is read from the server."""
    cache.keep(Served(), NEVER)
    other = Served(data=b"x" * 102_400, etag='"2"')
    assert read_all(cache.keep(other, NEVER)) == other.data
    unknown = Served(etag="")
    assert cache.keep(unknown, NEVER) is unknown


def test_the_oldest_makes_room(cache: NodeCache) -> None:
    """The file that was not read for the longest time goes; who has it open reads on; what is too large is streamed."""
    first, second, third = (Served(f"s3://bucket/{name}", bytes([at]) * 102_400) for at, name in enumerate("abc"))
    opened = cache.keep(first, NEVER)
    cache.keep(second, NEVER)
    for path, when in zip(list_files(cache), (10, 20), strict=True):
        os.utime(path, (when, when))
    cache.keep(first, NEVER)
    cache.keep(third, NEVER)
    assert len(list_files(cache)) == 2
    assert sum(path.stat().st_size for path in list_files(cache)) <= cache.limit
    before = len(first.requests)
    assert read_all(cache.keep(first, NEVER)) == first.data
    assert len(first.requests) == before
    cache.keep(second, NEVER)
    assert len(second.requests) == 8
    assert read_all(opened) == first.data
    large = Served("s3://bucket/large", bytes(300_000))
    assert cache.keep(large, NEVER) is large


def test_a_file_is_complete_or_absent(cache: NodeCache) -> None:
    """A fetch that fails leaves nothing; what a killed process has left is fetched anew."""
    served = Served(fails=True)
    with pytest.raises(DonorError, match="broken"):
        cache.keep(served, NEVER)
    assert not list_files(cache)
    served.fails = False
    cache.keep(served, NEVER)
    (path,) = list_files(cache)
    path.rename(path.with_name(f"{path.name}.part"))
    path.with_name(f"{path.name}.part").write_bytes(b"half")
    assert read_all(cache.keep(served, NEVER)) == served.data
    assert list_files(cache) == [path]


def test_files_of_others_stay(cache: NodeCache) -> None:
    """Files in the folder that are not the cache's are neither deleted nor counted, however little room there is."""
    cache.folder.mkdir()
    (cache.folder / "thesis.txt").write_bytes(bytes(200_000))
    for name in "abc":
        cache.keep(Served(f"s3://bucket/{name}"), NEVER)
    assert (cache.folder / "thesis.txt").stat().st_size == 200_000
    assert len(list_files(cache)) == 3


def test_a_wait_for_another_process_can_be_stopped(cache: NodeCache) -> None:
    """While another process fetches the file, a stopped build does not wait for it."""
    stop = threading.Event()
    served = Served()
    cache.folder.mkdir()
    with node_cache._lock(cache._find_path(served).with_suffix(".part"), NEVER):
        threading.Timer(0.3, stop.set).start()
        with pytest.raises(DonorError, match="stopped"):
            cache.keep(served, stop)


def test_a_stopped_fetch_ends(cache: NodeCache) -> None:
    """A fetch ends with an error when reading is stopped meanwhile."""
    stop = threading.Event()
    stop.set()
    with pytest.raises(DonorError):
        cache.keep(Served(data=bytes(240_000)), stop)
    assert not list_files(cache)


def test_without_a_writable_folder_the_server_is_read(tmp_path: Path) -> None:
    """If the folder cannot be made, files are read from the server."""
    (tmp_path / "file").write_text("")
    served = Served()
    assert NodeCache(tmp_path / "file" / "cache", 10**9).keep(served, NEVER) is served


def test_the_environment_names_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables give folder and size; without the folder there is no cache, and a wrong size is refused."""
    assert find_node_cache() is None
    monkeypatch.setenv("STACKER_CACHE_DIR", str(tmp_path))
    assert find_node_cache() == NodeCache(tmp_path, 100_000_000_000)
    monkeypatch.setenv("STACKER_CACHE_SIZE", "2GB")
    assert find_node_cache() == NodeCache(tmp_path, 2_000_000_000)
    monkeypatch.setenv("STACKER_CACHE_SIZE", "much")
    with pytest.raises(SpecError, match="not a size"):
        find_node_cache()
