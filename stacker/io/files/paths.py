"""Asks the system about paths: what is there, what a folder lists, where links lead.

Every failure becomes an error that names the path: a folder that may not be entered, a name that is too long, a path
with a NUL. Only a path where there is nothing is not a failure. No other module asks without handling OSError.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from stacker.errors import Mark, StackerError, StorageError

_NOTHING = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_ADVICE = {
    errno.EACCES: "you may not enter one of the folders above it",
    errno.ENAMETOOLONG: "a name has at most 255 bytes, a path 4,096",
}
FAILED = "cannot look up this path: "
"""How the message of every error begins that is raised here."""
ErrorClass = type[StackerError]


@contextmanager
def explain_path(path: Path, error_class: ErrorClass = StorageError) -> Iterator[None]:
    """Turn an exception about `path` that the `with` block raises into an error of the given class."""
    try:
        yield
    except OSError as error:
        code = error.errno or errno.EIO
        raise error_class.of(f"{FAILED}{os.strerror(code)}", _ADVICE.get(code, ""), Mark(str(path))) from error
    except (ValueError, RuntimeError) as error:  # a NUL in the path; a circle of links; no such user's home
        raise error_class.of(f"{FAILED}{error}", "", Mark(str(path))) from error


def read_status(
    path: Path, error_class: ErrorClass = StorageError, *, follow_links: bool = True
) -> os.stat_result | None:
    """The status of what is at `path`; None if there is nothing, or a link that leads to nothing or in a circle."""
    with explain_path(path, error_class):
        try:
            return path.stat(follow_symlinks=follow_links)
        except OSError as error:
            if error.errno in _NOTHING:
                return None
            raise


def exists(path: Path, error_class: ErrorClass = StorageError) -> bool:
    """Whether there is anything at `path`, or at the end of the link there."""
    return read_status(path, error_class) is not None


def is_folder(path: Path, error_class: ErrorClass = StorageError) -> bool:
    """Whether `path` is a folder or a link to one."""
    status = read_status(path, error_class)
    return status is not None and stat.S_ISDIR(status.st_mode)


def is_file(path: Path, error_class: ErrorClass = StorageError) -> bool:
    """Whether `path` is a regular file or a link to one."""
    status = read_status(path, error_class)
    return status is not None and stat.S_ISREG(status.st_mode)


def is_same_file(one: Path, other: Path, error_class: ErrorClass = StorageError) -> bool:
    """Whether two paths lead to one existing file."""
    found, there = (read_status(path, error_class) for path in (one, other))
    return found is not None and there is not None and os.path.samestat(found, there)


def is_link(path: Path, error_class: ErrorClass = StorageError) -> bool:
    """Whether `path` is a symbolic link, also one that leads nowhere."""
    status = read_status(path, error_class, follow_links=False)
    return status is not None and stat.S_ISLNK(status.st_mode)


def list_folder(path: Path, error_class: ErrorClass = StorageError) -> Sequence[str]:
    """The names of all entries of a folder, sorted."""
    with explain_path(path, error_class):
        return sorted(entry.name for entry in path.iterdir())


def read_link(path: Path, error_class: ErrorClass = StorageError) -> Path:
    """The target of the link at `path`, as it is stored in the link."""
    with explain_path(path, error_class):
        return path.readlink()


def resolve_links(path: Path, error_class: ErrorClass = StorageError) -> Path:
    """The absolute path with all links resolved; a part of the path that does not exist is kept as it is."""
    with explain_path(path, error_class):
        return Path(os.path.realpath(path))


def expand_home(path: Path, error_class: ErrorClass = StorageError) -> Path:
    """Replace `~` or `~user` at the beginning of a path by that user's home folder."""
    with explain_path(path, error_class):
        return path.expanduser()


def is_utf8(name: str) -> bool:
    """Whether a name that the system gave is UTF-8; any other name cannot be written into a text file."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def find_nearest_folder(path: Path) -> Path:
    """The innermost folder above `path` that exists."""
    return next(parent for parent in path.absolute().parents if is_folder(parent))
