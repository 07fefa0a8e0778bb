"""One writer at a time: a lock on the folder itself, so no lock file is left over and the kernel frees a dead run's."""

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
from stacker.io.output.journal import read_journal

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Make `folder` if it is missing and hold it alone; LockedError says who holds it."""
    fd = _lock(folder)
    try:
        yield
    finally:
        os.close(fd)


def _lock(folder: Path) -> int:
    """A descriptor of the folder that is at this path now (not of one that was renamed while we waited for it)."""
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


_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def move_into_place(new: Path, out: Path, *, force: bool) -> Path | None:
    """Rename `new` to `out`; with `force`, a folder that is there moves aside, to the path returned. Raises OSError."""
    if not force or not out.exists():
        new.rename(out)  # an empty folder gives way, any other raises ENOTEMPTY
        return None
    old = out.with_name(f"{out.name}.replaced-{os.getpid()}")
    if _exchange(new, out):
        new.rename(old)
    else:
        _swap(new, out, old)
    return old


def _exchange(new: Path, out: Path) -> bool:
    """Swap two folders at once; False where the filesystem or the C library cannot."""
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


def _swap(new: Path, out: Path, old: Path) -> None:
    """Two renames in a row; the first is taken back when the second fails."""
    out.rename(old)
    try:
        new.rename(out)
    except OSError:
        old.rename(out)
        raise
