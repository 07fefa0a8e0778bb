"""Keeps whole files of servers in a folder on this machine, shared by all processes that read them here.

A file is found by its address and version, and is complete or absent. When a new one has no room, those that were not
read for the longest time go. Without the folder, or without room, ranges are read from the server.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import threading
import weakref
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stacker.errors import DonorError, Mark, StackerError
from stacker.formats.safetensors import RemoteStamp
from stacker.io.files.paths import list_folder
from stacker.io.ranges.fetching import fetch_range
from stacker.io.ranges.remote_file import RemoteFile
from stacker.spec.language.value_grammar import parse_size

FOLDER, LIMIT = CACHE_VARIABLES = ("STACKER_CACHE_DIR", "STACKER_CACHE_SIZE")
"""Variables with the folder of the cache, and the most bytes of the files in it."""
_USUAL_LIMIT = "100GB"
_REQUESTS_AT_ONCE = 8
_REQUEST = 16 << 20
_PIECE = 1 << 20
_PAUSE = 0.1
"""Seconds between two attempts to lock a file."""
_PART, _LOCK = ".part", "lock"
_OWN = re.compile(r"[0-9a-f]{64}(\.part)?")
"""The names of the cache's files; others in the folder are somebody else's."""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class NearFile:
    """A file of a server, of which this machine has a copy, open as the descriptor `fd`; see RemoteFile."""

    source: str
    stamp: RemoteStamp
    path: Path
    fd: int

    def read(self, begin: int, end: int) -> Iterator[bytes]:
        while begin < end and (data := os.pread(self.fd, min(_PIECE, end - begin), begin)):
            begin += len(data)
            yield data

    def find_pause(self, error: Exception) -> float | None:
        del error
        return None

    def explain(self, error: Exception) -> StackerError:
        reason = error.strerror if isinstance(error, OSError) else "it is too short"
        return DonorError.of(f"cannot read the copy of this file: {reason}", "", Mark(str(self.path)))


@dataclass(frozen=True, slots=True)
class NodeCache:
    """The cache in `folder`, whose files have at most `limit` bytes together."""

    folder: Path
    limit: int

    def keep(self, remote: RemoteFile, stop: threading.Event) -> RemoteFile:
        """A file whose first bytes have been read, from its copy here; it is fetched first if there is none.

        The file itself if the cache has no room for it, or the server states no version. DonorError if fetching fails,
        or `stop` is set meanwhile.
        """
        if not remote.stamp.etag:
            return remote
        try:
            near = self._open(remote) or self._fetch(remote, stop)
        except OSError:  # of this disk: it is full, or not to be written to
            near = None
        return near or remote

    def _find_path(self, remote: RemoteFile) -> Path:
        version = f"{remote.source} {remote.stamp.etag} {remote.stamp.size}"
        return self.folder / hashlib.sha256(version.encode()).hexdigest()

    def _open(self, remote: RemoteFile) -> NearFile | None:
        path = self._find_path(remote)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        near = NearFile(remote.source, remote.stamp, path, fd)
        weakref.finalize(near, os.close, fd)
        with suppress(OSError):  # may belong to another user
            os.utime(path)
        return near

    def _fetch(self, remote: RemoteFile, stop: threading.Event) -> NearFile | None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._find_path(remote)
        part = path.with_name(f"{path.name}{_PART}")
        with _lock(part, stop) as fd:
            try:
                found = self._open(remote)  # another process may have fetched it meanwhile
                if found or not self._reserve(part, fd, remote.stamp.size, stop):
                    part.unlink()
                    return found
                _download(remote, fd, stop)
                os.fsync(fd)
                part.replace(path)
            except BaseException:
                part.unlink()
                raise
        return self._open(remote)

    def _reserve(self, part: Path, fd: int, nbytes: int, stop: threading.Event) -> bool:
        """Give the file `part` its size after making room for it; returns whether there is enough.

        Files of the folder that are not of the cache are left alone, and do not count.
        """
        with _lock(self.folder / _LOCK, stop):
            others = [name for name in list_folder(self.folder) if _OWN.fullmatch(name) and name != part.name]
            known = sorted(_list_known(self.folder / name for name in others))
            taken = sum(size for _, size, _ in known)
            for _, size, path in known:
                if taken + nbytes > self.limit and _evict(path):
                    taken -= size
            if taken + nbytes > self.limit:
                return False
            os.truncate(fd, nbytes)
            return True


def find_node_cache() -> NodeCache | None:
    """The cache that the environment names; None if it names none. SpecError if its size is none."""
    folder = os.environ.get(FOLDER)
    return NodeCache(Path(folder), parse_size(os.environ.get(LIMIT, _USUAL_LIMIT), Mark(LIMIT))) if folder else None


def read_cache_variables() -> dict[str, str]:
    """The variables that name the cache, for processes on other machines, whose folder has the same name."""
    return {name: os.environ[name] for name in CACHE_VARIABLES if name in os.environ}


@contextmanager
def _lock(path: Path, stop: threading.Event) -> Iterator[int]:
    """Open a file, which is made if there is none, and keep it locked; waits for other processes.

    DonorError if `stop` is set meanwhile.
    """
    while not stop.is_set():
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if _take_lock(fd) and _is_at(fd, path):
                yield fd
                return
        finally:
            os.close(fd)
        stop.wait(_PAUSE)
    raise DonorError.of("the build was stopped while another process fetched this file", "", Mark(str(path)))


def _take_lock(fd: int) -> bool:
    """Lock an open file; returns whether no other process has done so."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _list_known(paths: Iterable[Path]) -> Iterator[tuple[float, int, Path]]:
    """The last use and the size of files, without those that another process has just renamed or deleted."""
    for path in paths:
        with suppress(FileNotFoundError):
            status = path.stat()
            yield status.st_mtime, status.st_size, path


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:  # whoever had locked it has deleted or renamed it
        return False


def _evict(path: Path) -> bool:
    """Delete a file, unless it is being fetched; whoever has opened it reads on. Returns whether it was deleted."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        if not _take_lock(file.fileno()):
            return False
        path.unlink()
    return True


def _download(remote: RemoteFile, fd: int, stop: threading.Event) -> None:
    """Fetch a whole file by several requests at once."""
    ended = threading.Event()

    def fetch(begin: int) -> None:
        at = begin
        for piece in fetch_range(remote, begin, min(begin + _REQUEST, remote.stamp.size), ended):
            if stop.is_set():
                ended.set()
            os.pwrite(fd, piece, at)
            at += len(piece)

    with ThreadPoolExecutor(_REQUESTS_AT_ONCE) as pool:
        futures = [pool.submit(partial(fetch, begin)) for begin in range(0, remote.stamp.size, _REQUEST)]
        try:
            for future in futures:
                future.result()
        except BaseException:
            ended.set()
            pool.shutdown(cancel_futures=True)
            raise
