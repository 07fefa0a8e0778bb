"""Locks an output folder so that only one process writes it, and moves the finished folder to its final path.

The folder itself is locked: no lock file is left behind, and the kernel releases the lock of a process that died.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stacker.errors import LockedError, Mark
from stacker.io.disk.storage import explain_errors
from stacker.io.files.paths import exists
from stacker.io.output.journal import read_journal

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
"""`_AT_FDCWD` and `_RENAME_EXCHANGE` are the values of AT_FDCWD and RENAME_EXCHANGE in renameat2(2)."""


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Create `folder` if it does not exist, and keep it locked until the `with` block ends.

    LockedError when another process has locked the folder.
    """
    fd = _lock(folder)
    try:
        yield
    finally:
        os.close(fd)


def _lock(folder: Path) -> int:
    """Create a folder if it does not exist, lock it, and return its descriptor; closing the descriptor ends the lock.

    If another process renames or removes the folder just before it is locked, a new folder is created and locked.
    LockedError when another process has locked the folder.
    """
    while True:
        with explain_errors(folder, "make this folder"):
            folder.mkdir(exist_ok=True)
            fd = os.open(folder, _FOLDER)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(fd), folder.lstat()):
                return fd
        except BlockingIOError as error:
            os.close(fd)
            raise _make_locked_error(folder) from error
        except FileNotFoundError:
            pass
        os.close(fd)


def _make_locked_error(folder: Path) -> LockedError:
    with explain_errors(folder, "read the journal"):
        record = read_journal(folder)
    holder = f" (process {record.pid})" if record and record.pid else ""
    hint = "wait until it has finished, or choose another output folder"
    return LockedError.of(f"another run is building this output{holder}", hint, Mark(str(folder)))


def move_into_place(new: Path, out: Path, *, force: bool) -> Path | None:
    """Rename the folder `new` to `out`; OSError when that fails.

    With `force`, a folder that is already at `out` is kept under another name; the new path of the old folder is
    returned, or None when no folder was replaced.
    """
    if not force or not exists(out):
        new.rename(out)  # replaces an empty folder, raises ENOTEMPTY for any other
        return None
    old = out.with_name(f"{out.name}.replaced-{os.getpid()}")
    if _exchange_folders(new, out):
        new.rename(old)
    else:
        _rename_twice(new, out, old)
    return old


def _exchange_folders(new: Path, out: Path) -> bool:
    """Exchange the names of two folders in one system call.

    Returns False when the filesystem or the C library does not support that.
    """
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return False
    if rename(_AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(out), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
        return False
    raise OSError(code, os.strerror(code), str(out))


def _rename_twice(new: Path, out: Path, old: Path) -> None:
    """Rename `out` to `old`, then `new` to `out`; if the second renaming fails, undo the first."""
    out.rename(old)
    try:
        new.rename(out)
    except OSError:
        old.rename(out)
        raise
