"""Opens donors' files for reading by all workers, keeps few of them open, and checks that they match the plan."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from stacker.core.plan.tasks import Compute, CopyColumns, CopyRun, Task
from stacker.core.values.donor import DonorFile
from stacker.core.values.expression import find_needed_tensors
from stacker.errors import DonorError, Mark
from stacker.formats.safetensors import parse_header_length
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
    """Raise a DonorError unless the file has the size, modification time and header that the plan recorded."""
    path = Path(str(file.path))
    status = os.fstat(fd)
    if status.st_size != file.size:
        raise _make_changed_error(file, f"it has {status.st_size:,} bytes, not {file.size:,}")
    if file.mtime is not None and status.st_mtime_ns != file.mtime:
        raise _make_changed_error(file, "it was written to")
    length = parse_header_length(read_exactly(fd, min(64, file.size), 0, path), file.size, str(path))
    if hashlib.sha256(read_exactly(fd, length, 0, path)).hexdigest() != file.header:
        raise _make_changed_error(file, "its header is another")


def find_files(tasks: Iterable[Task]) -> Iterator[DonorFile]:
    """Yield the donors' files that the tasks read; a file may be yielded several times."""
    for task in tasks:
        match task:
            case CopyRun():
                yield task.file
            case CopyColumns():
                yield from (source.file for source in task.columns if source.file)
            case Compute():
                yield from (task.places[ref].file for ref in find_needed_tensors(task.expression))


def check_unchanged(files: Iterable[DonorFile]) -> None:
    """Raise a DonorError if one of the files was deleted, replaced or written to since the build was planned."""
    for file in dict.fromkeys(files):
        try:
            status = Path(str(file.path)).stat()
        except OSError as error:
            raise _make_changed_error(file, f"it is gone: {error.strerror}") from error
        if status.st_size != file.size or file.mtime not in (None, status.st_mtime_ns):
            raise _make_changed_error(file, "it was written to")


def _make_changed_error(file: DonorFile, change: str) -> DonorError:
    hint = "leave donors alone while a build reads them, then start the build again"
    return DonorError.of(f"the donor's file changed since it was planned: {change}", hint, Mark(str(file.path)))
