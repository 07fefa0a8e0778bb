"""One writer at a time: a lock on the folder itself, so no lock file is left over and the kernel frees a dead run's."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stacker.errors import LockedError, Mark
from stacker.io.journal import read_journal
from stacker.io.storage import writing

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Make `folder` if it is missing and hold it alone; LockedError says who holds it."""
    fd = _lock(folder)
    try:
        yield
    finally:
        os.close(fd)


def _lock(folder: Path) -> int:
    """A descriptor of the folder that is at this path now (not of one that was renamed while we waited for it)."""
    while True:
        with writing(folder, "make this folder"):
            folder.mkdir(exist_ok=True)
            fd = os.open(folder, _FOLDER)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(fd), folder.lstat()):
                return fd
        except BlockingIOError as error:
            os.close(fd)
            raise _held(folder) from error
        except FileNotFoundError:
            pass
        os.close(fd)


def _held(folder: Path) -> LockedError:
    with writing(folder, "read the journal"):
        record = read_journal(folder)
    holder = f" (process {record.pid})" if record and record.pid else ""
    hint = "wait until it has finished, or choose another output folder"
    return LockedError.of(f"another run is building this output{holder}", hint, Mark(str(folder)))
