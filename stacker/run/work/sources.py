"""Opens donors' files for reading by all workers, keeps few of them open, and checks that they match the plan."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from stacker.core.values.donor import DonorFile
from stacker.errors import DonorError, Mark, raise_problems
from stacker.io.disk.open_files import FileCache, limit_open_files
from stacker.io.files.regular_files import open_regular, read_exactly

_MOST_OPEN = 64
"""The most donor files that stay open at once, not counting files that are being read."""


class OpenFiles:
    """Keeps donors' files open for all threads; if too many are open, files that are not being read are closed.

    `group` is a list of file caches; if the process reaches its limit of open files, idle files of all of them are
    closed.
    """

    def __init__(self, group: list[FileCache[Any]] | None = None, most: int = _MOST_OPEN) -> None:
        self.files: FileCache[int] = FileCache(os.close, limit_open_files(most), group=group)

    def lease(self, file: DonorFile) -> AbstractContextManager[int]:
        """Provide a file descriptor of a donor's file for the length of a `with` block.

        DonorError if the file cannot be opened or was changed since the build was planned.
        """
        return self.files.lease(str(file.path), partial(_open_checked, file))

    def close(self) -> None:
        """Close all files; the caller must ensure that no thread still uses one of them."""
        self.files.close()


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
        raise _make_changed_error(file, f"it has {status.st_size:,} bytes, not {file.size:,}")
    if _was_written(file, status):
        raise _make_changed_error(file, "it was written to")
    if hashlib.sha256(read_exactly(fd, file.header_bytes, 0, path)).hexdigest() != file.header:
        raise _make_changed_error(file, "its header is another")


def check_unchanged(files: Iterable[DonorFile]) -> None:
    """Raise a DonorError if files were deleted, replaced or written to since the build was planned."""
    raise_problems(problem for error in find_changed_files(files).values() for problem in error.problems)


def find_changed_files(files: Iterable[DonorFile]) -> dict[DonorFile, DonorError]:
    """The files that were deleted, replaced or written to since the build was planned, each with its error."""
    checked = ((file, _find_change(file)) for file in dict.fromkeys(files))
    return {file: _make_changed_error(file, change) for file, change in checked if change}


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
    return stamp is not None and (stamp.mtime, stamp.ctime) != (status.st_mtime_ns, status.st_ctime_ns)


def _make_changed_error(file: DonorFile, change: str) -> DonorError:
    hint = "leave donors alone while a build reads them, then start the build again"
    return DonorError.of(f"the donor's file changed since it was planned: {change}", hint, Mark(str(file.path)))
