"""Finds out, before anything is written, how much disk space an output takes and whether that much is free."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from stacker.core.plan.tasks import Compute, CopyColumns, CopyRun, Task
from stacker.errors import DonorError, Mark, StorageError
from stacker.io.disk.copies import find_data_runs
from stacker.io.disk.moves import can_clone
from stacker.io.disk.storage import OUT_OF_DESCRIPTORS, count_free_bytes, make_storage_error


def check_space(out: Path, needed: int) -> None:
    """Raise a StorageError when fewer than `needed` bytes are free on the disk of the output folder `out`.

    Space that an unfinished build of the same output occupies counts as free.
    """
    free = count_free_bytes(out) + _count_occupied_bytes(out.with_name(out.name + ".partial"))
    if needed > free:
        message = f"the output needs {needed:,} bytes, but only {free:,} are free there"
        raise StorageError.of(message, "make room, or choose an output folder on another disk", Mark(str(out)))


def _count_occupied_bytes(folder: Path) -> int:
    try:
        return sum(entry.stat(follow_symlinks=False).st_blocks * 512 for entry in os.scandir(folder))
    except OSError:
        return 0


def count_allocated_bytes(path: Path, offset: int, nbytes: int) -> int:
    """How many of the `nbytes` bytes from `offset` on a file stores on the disk; all other bytes are in holes.

    DonorError when the file cannot be read.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            status = os.fstat(fd)
            if status.st_blocks * 512 >= status.st_size:
                return nbytes
            return sum(end - begin for begin, end in find_data_runs(fd, offset, nbytes))
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno in OUT_OF_DESCRIPTORS:
            raise make_storage_error(error, path, "open this file") from error
        raise DonorError.of(f"cannot read this file: {error.strerror}", "", Mark(str(path))) from error


def count_new_bytes(tasks: Sequence[Task], folder: Path, block: int | None) -> int:
    """How many bytes of disk space the tasks of a plan will take in `folder`; cloned blocks and holes take none.

    `block` is the filesystem's block size in bytes if blocks of donors' files can be cloned into `folder`, else None.
    """
    return sum(_count_new_bytes(task, folder, block) for task in tasks)


def _count_new_bytes(task: Task, folder: Path, block: int | None) -> int:
    match task:
        case CopyRun(file=file, source=source, offset=offset, nbytes=nbytes):
            if file.path is None:
                return nbytes
            path = Path(file.path)
            if block and (offset - source) % block == 0 and _clones(path, folder):
                return min(nbytes, 2 * block)
            return count_allocated_bytes(path, source, nbytes)
        case Compute(nbytes=nbytes) | CopyColumns(nbytes=nbytes):
            return nbytes
        case _:
            return 0


@cache
def _clones(path: Path, folder: Path) -> bool:
    return can_clone(path, folder) is not None


def find_clone_block(paths: Sequence[Path], folder: Path) -> int | None:
    """The block size in bytes if blocks of at least one of the files `paths` can be cloned into `folder`, else None."""
    blocks = (can_clone(path, folder) for path in paths)
    return next((block for block in blocks if block), None)
