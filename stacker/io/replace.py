"""A finished folder takes its place in one rename, also where an older one stands."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def put_in_place(new: Path, out: Path, *, force: bool) -> Path | None:
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
