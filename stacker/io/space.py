"""Whether an output fits on its disk, before the first byte is written."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from stacker.errors import DonorError, Mark, StorageError
from stacker.io.storage import free_bytes


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
        raise DonorError.of(f"cannot read this file: {error.strerror}", "", Mark(str(path))) from error


def data_runs(fd: int, offset: int, nbytes: int) -> list[tuple[int, int]]:
    """The stored parts [begin, end) of a range of a sparse file, in order; everything between them is zero."""
    runs: list[tuple[int, int]] = []
    stop = offset + nbytes
    while offset < stop:
        try:
            begin = os.lseek(fd, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole up to the end of the file
                break
            raise
        end = min(os.lseek(fd, begin, os.SEEK_HOLE), stop)
        if begin >= stop:
            break
        runs.append((begin, end))
        offset = end
    return runs
