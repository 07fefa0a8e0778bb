"""Turns OSErrors into StorageErrors whose message names the file, the reason, and what the user can do."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stacker.errors import Mark, StorageError

_RESUME = "the same command resumes the build"
_ADVICE = {
    errno.ENOSPC: f"make room on that disk; {_RESUME}",
    errno.EDQUOT: f"your quota on that disk is used up: make room; {_RESUME}",
    errno.EFBIG: "files may not be that large there: give a smaller `shard_size` in the spec's `output`",
    errno.EROFS: "that disk is mounted read-only: choose another output folder",
    errno.EEXIST: "a file is in the way: choose another output folder",
    errno.EACCES: "you may not write there: choose another output folder",
    errno.EPERM: "you may not write there: choose another output folder",
    errno.EIO: f"the disk reports a defect: look at `dmesg`; {_RESUME} from what is safely written",
    errno.EMFILE: f"raise the limit (`ulimit -n 4096`) or use fewer `--workers`; {_RESUME}",
    errno.ENFILE: f"close other programs, or raise the system's limit (`sysctl fs.file-max`); {_RESUME}",
    errno.ENAMETOOLONG: "choose a shorter name for the output folder",
}
OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)


@contextmanager
def explain_errors(path: Path, doing: str = "write") -> Iterator[None]:
    """Turn an OSError that the `with` block raises into a StorageError about the file or folder `path`.

    The message is `cannot {doing}` and the system's reason; the hint says what the user can do.
    """
    try:
        yield
    except OSError as error:
        raise make_storage_error(error, path, doing) from error


def make_storage_error(error: OSError, path: Path, doing: str = "write") -> StorageError:
    """Make the StorageError for an OSError about the file or folder `path`.

    The message is `cannot {doing}` and the system's reason; the hint says what the user can do, and is empty for a rare
    error code.
    """
    code = error.errno or errno.EIO
    reason = error.strerror or os.strerror(code)
    return StorageError.of(f"cannot {doing}: {reason}{_limit(code, path)}", _ADVICE.get(code, ""), Mark(str(path)))


def _limit(code: int, path: Path) -> str:
    """Text to append to an error message: the free space if the disk is full, the limit if too many files are open.

    Empty for all other error codes.
    """
    if code == errno.ENOSPC:
        return f" ({count_free_bytes(path):,} bytes are free)"
    if code == errno.EMFILE:
        return f" (this process may open {resource.getrlimit(resource.RLIMIT_NOFILE)[0]})"
    return ""


def count_free_bytes(path: Path) -> int:
    """How many bytes are free on the disk of `path`; 0 when the system does not report the free space.

    If `path` does not exist yet, the disk of the closest existing folder above `path` is used.
    """
    for place in (path, *path.absolute().parents):
        try:
            status = os.statvfs(place)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                return 0
        else:
            return status.f_bavail * status.f_frsize
    return 0
