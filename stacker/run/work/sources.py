"""Opens donors' files for reading by all workers, keeps few of them open, and checks that they match the plan.

A file is on this machine, or ranges of it are read from a server.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from stacker.core.plan.tasks import Task
from stacker.core.values.donor import DonorFile
from stacker.errors import DonorError, raise_problems
from stacker.formats.safetensors import FileStamp
from stacker.io.disk.byte_source import ByteSource, LocalFile
from stacker.io.disk.open_files import FileCache, limit_open_files
from stacker.io.donors.openers import open_near
from stacker.io.files.regular_files import make_changed_error, open_regular, read_exactly
from stacker.io.ranges.connections import Connections, Consume
from stacker.io.ranges.read_ahead import is_streamed, list_blocks
from stacker.io.ranges.remote_file import RemoteFile

_MOST_OPEN = 64
"""The most donor files that stay open at once, not counting files that are being read."""


class OpenFiles:
    """Keeps donors' files open for all threads; if too many are open, files that are not being read are closed.

    `group` is a list of file caches; if the process reaches its limit of open files, idle files of all of them are
    closed. `tasks` are those whose bytes will be read: what they need from servers is read ahead.
    Setting `stop` ends reading from servers, and closing sets it.
    """

    def __init__(
        self,
        group: list[FileCache[Any]] | None = None,
        most: int = _MOST_OPEN,
        tasks: Iterable[Task] = (),
        stop: threading.Event | None = None,
    ) -> None:
        self.files: FileCache[int] = FileCache(os.close, limit_open_files(most), group=group)
        self._remotes: FileCache[RemoteFile] = FileCache(_forget, most)
        self._stop = stop or threading.Event()
        self.connections = Connections(self._lease_remote, list_blocks(tasks), self._stop)

    @contextmanager
    def lease(self, file: DonorFile) -> Iterator[ByteSource]:
        """Provide a donor's file for reading for the length of a `with` block.

        DonorError if the file cannot be opened or was changed since the build was planned.
        """
        if is_streamed(file):
            yield _StreamedFile(file, self.connections)
            return
        with self.lease_local(file) as fd:
            yield LocalFile(fd)

    def lease_local(self, file: DonorFile) -> AbstractContextManager[int]:
        """Provide a descriptor of a donor's file that is on this machine, as `lease` does."""
        return self.files.lease(str(file.path), partial(_open_checked, file))

    def _lease_remote(self, file: DonorFile) -> AbstractContextManager[RemoteFile]:
        return self._remotes.lease(str(file.address), partial(open_near, file, self._stop))

    def stream(self, file: DonorFile, begin: int, nbytes: int, consume: Consume, residue: int) -> None:
        """Pass bytes of a file on a server to `consume`, as they arrive; see Connections."""
        self.connections.stream(file, begin, nbytes, consume, residue)

    def close(self) -> None:
        """Close all files and connections; the caller must ensure that no thread still uses one of them."""
        self.connections.close()
        self.files.close()
        self._remotes.close()


@dataclass(frozen=True, slots=True)
class _StreamedFile:
    """A donor's file on a server; what is read of it is read ahead. See ByteSource."""

    file: DonorFile
    connections: Connections

    def read_into(self, view: memoryview, offset: int) -> None:
        self.connections.read_into(self.file, view, offset)

    def find_stored(self, offset: int, nbytes: int) -> list[tuple[int, int]]:
        return [(offset, offset + nbytes)]

    def close(self) -> None:
        """Do nothing: the connections belong to all files."""


def _forget(remote: RemoteFile) -> None:
    """Do nothing: between requests, a file on a server takes nothing but memory."""
    del remote


def _open_checked(file: DonorFile) -> int:
    fd = open_regular(Path(str(file.path)))
    try:
        _check(fd, file)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _check(fd: int, file: DonorFile) -> None:
    """Raise a DonorError unless the file has the size, the times of change and the header that the plan recorded."""
    path = Path(str(file.path))
    status = os.fstat(fd)
    if status.st_size != file.size:
        raise make_changed_error(file.place, f"it has {status.st_size:,} bytes, not {file.size:,}")
    if _was_written(file, status):
        raise make_changed_error(file.place, "it was written to")
    if hashlib.sha256(read_exactly(fd, file.header_bytes, 0, path)).hexdigest() != file.header:
        raise make_changed_error(file.place, "its header is another")


def check_unchanged(files: Iterable[DonorFile]) -> None:
    """Raise a DonorError if files were deleted, replaced or written to since the build was planned."""
    raise_problems(problem for error in find_changed_files(files).values() for problem in error.problems)


def find_changed_files(files: Iterable[DonorFile]) -> dict[DonorFile, DonorError]:
    """The files that were deleted, replaced or written to since the build was planned, each with its error.

    Files on servers are left out, because every response is checked to be about the same version.
    """
    checked = ((file, _find_change(file)) for file in dict.fromkeys(files) if not is_streamed(file))
    return {file: make_changed_error(file.place, change) for file, change in checked if change}


def _find_change(file: DonorFile) -> str:
    try:
        status = Path(str(file.path)).stat()
    except OSError as error:
        return f"it is gone: {error.strerror}"
    return "it was written to" if status.st_size != file.size or _was_written(file, status) else ""


def _was_written(file: DonorFile, status: os.stat_result) -> bool:
    """Whether a file was written to since it was planned; unknown versions count as unchanged.

    The inode number is not compared, because some network filesystems give a file a new one while they are mounted.
    """
    stamp = file.stamp
    return isinstance(stamp, FileStamp) and (stamp.mtime, stamp.ctime) != (status.st_mtime_ns, status.st_ctime_ns)
