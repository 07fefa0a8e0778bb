"""Whether an output fits on its disk, before the first byte is written."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from stacker.errors import DonorError, Mark, StorageError
from stacker.io.disk.storage import OUT_OF_DESCRIPTORS, free_bytes, storage_error


def check_space(out: Path, needed: int) -> None:
    """StorageError when fewer than `needed` bytes can be had where `out` will be.

    `needed` are new blocks: no clones, no holes. What unfinished work at `out` already occupies counts as free.
    """
    free = free_bytes(out) + _occupied(out.with_name(out.name + ".partial"))
    if needed > free:
        message = f"the output needs {needed:,} bytes, but only {free:,} are free there"
        raise StorageError.of(message, "make room, or choose an output folder on another disk", Mark(str(out)))


def _occupied(folder: Path) -> int:
    try:
        return sum(entry.stat(follow_symlinks=False).st_blocks * 512 for entry in os.scandir(folder))
    except OSError:
        return 0


def allocated_bytes(path: Path, offset: int, nbytes: int) -> int:
    """How many of the `nbytes` from `offset` on are really stored; the rest are holes of a sparse file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            status = os.fstat(fd)
            if status.st_blocks * 512 >= status.st_size:
                return nbytes
            return sum(end - begin for begin, end in data_runs(fd, offset, nbytes))
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno in OUT_OF_DESCRIPTORS:
            raise storage_error(error, path, "open this file") from error
        raise DonorError.of(f"cannot read this file: {error.strerror}", "", Mark(str(path))) from error


def data_runs(fd: int, offset: int, nbytes: int) -> list[tuple[int, int]]:
    """The stored parts [begin, end) of a range of a sparse file, in order; everything between them is zero."""
    runs: list[tuple[int, int]] = []
    stop = offset + nbytes
    while offset < stop:
        begin = _seek(fd, offset, os.SEEK_DATA)
        if begin is None or begin >= stop:
            break
        end = _seek(fd, begin, os.SEEK_HOLE)
        if end is None or end <= begin:  # a device, or a filesystem that does not tell
            return [*runs, (offset, stop)]
        runs.append((begin, min(end, stop)))
        offset = end
    return runs


def _seek(fd: int, offset: int, whence: int) -> int | None:
    """Where data or a hole begins at or after `offset`; None when there is none up to the end of the file."""
    try:
        return os.lseek(fd, offset, whence)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None
        raise


def nearest_folder(path: Path) -> Path:
    """The folder that a path is in or will be made in: the first of its parents that exists."""
    return next(parent for parent in path.absolute().parents if parent.is_dir())
