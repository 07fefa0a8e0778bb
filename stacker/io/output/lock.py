"""Locks the folder of unfinished work, so that only one process writes it.

The folder itself is locked: no lock file is left behind, and the kernel releases the lock of a process that died.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from stacker.errors import LockedError, Mark
from stacker.io.disk.storage import explain_errors
from stacker.io.output.journal import read_journal

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW


@dataclass(frozen=True, slots=True)
class FolderLock:
    """A locked folder, open as the descriptor `fd`; `made` says whether the folder was created by locking it."""

    folder: Path
    fd: int
    made: bool

    def is_in_place(self) -> bool:
        """Whether the locked folder is still at its path: not renamed, removed or replaced."""
        return self.is_at(self.folder)

    def is_at(self, path: Path) -> bool:
        """Whether the locked folder is at `path` now; OSError when the system does not tell."""
        try:
            return os.path.samestat(os.fstat(self.fd), path.lstat())
        except FileNotFoundError:
            return False


@contextmanager
def lock_folder(folder: Path) -> Iterator[FolderLock]:
    """Create `folder` if it does not exist, and keep it locked until the `with` block ends.

    A folder that is created can be written only by this user, whatever the umask allows. LockedError when another
    process has locked the folder.
    """
    lock = _lock(folder)
    try:
        yield lock
    finally:
        with suppress(OSError):  # nothing was written through it, and it is closed all the same
            os.close(lock.fd)


def _lock(folder: Path) -> FolderLock:
    """Create a folder if it does not exist and lock it; closing the lock's descriptor ends the lock.

    If another process renames or removes the folder just before it is locked, a new folder is created and locked.
    LockedError when another process has locked the folder.
    """
    while True:
        made = True
        with explain_errors(folder, "make this folder"):
            try:
                folder.mkdir(0o755)
            except FileExistsError:
                made = False
            fd = os.open(folder, _FOLDER)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            lock = FolderLock(folder, fd, made)
            if lock.is_in_place():
                return lock
        except BlockingIOError as error:
            os.close(fd)
            raise _make_locked_error(folder) from error
        os.close(fd)


def _make_locked_error(folder: Path) -> LockedError:
    with explain_errors(folder, "read the journal"):
        record = read_journal(folder)
    holder = f" (process {record.pid})" if record and record.pid else ""
    hint = "wait until it has finished, or choose another output folder"
    return LockedError.of(f"another run is building this output{holder}", hint, Mark(str(folder)))
