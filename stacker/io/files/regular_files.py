"""Opens and reads regular files: those of donors with a DonorError, those that stacker has written with an OSError."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stacker.errors import DonorError, Mark
from stacker.io.disk.storage import OUT_OF_DESCRIPTORS, make_storage_error

MOST_STORED = 1 << 28
"""Bytes; the lock file of a stack of 100,000 tensors has some 60 MB."""
_KINDS = (
    (stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a named pipe"), (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"),
)  # fmt: skip


def open_regular(path: Path, shown: Path | None = None) -> int:
    """Open the regular file at `path` for reading and return the file's descriptor.

    Raises DonorError if the file cannot be opened, or if `path` is a folder, a pipe, a device or another special file.
    The error names the file as `shown`, or else as `path`.
    """
    shown = shown or path
    with explain_open_errors(shown):
        # Without O_NONBLOCK, opening a named pipe would wait for a writer.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode):
        os.close(fd)
        kind = next((name for test, name in _KINDS if test(mode)), "not a file")
        raise DonorError.of(f"this is {kind}, not a regular file", "", Mark(str(shown)))
    return fd


def read_stored(path: Path, limit: int = MOST_STORED) -> bytes:
    """Read a file that stacker or its user has written; OSError if it is not a regular file or has more bytes.

    Somebody may have put a pipe, a device or an endless file in its place, which would never be read to the end.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        if status.st_size > limit:
            raise OSError(errno.EFBIG, f"it has more than {limit:,} bytes", str(path))
        return file.read(limit)


def make_changed_error(place: str, change: str) -> DonorError:
    """Make the error that says that a donor's file, at a path or an address, is not the one of the plan."""
    hint = "leave donors alone while a build reads them, then start the build again"
    return DonorError.of(f"the donor's file changed since it was planned: {change}", hint, Mark(place))


@contextmanager
def explain_open_errors(path: Path) -> Iterator[None]:
    """Turn an OSError that the `with` block raises into a DonorError which says that `path` cannot be opened.

    If the process or the system has too many files open, it becomes a StorageError.
    """
    try:
        yield
    except OSError as error:
        if error.errno in OUT_OF_DESCRIPTORS:  # the machine's limit, not the donor's fault
            raise make_storage_error(error, path, "open this file") from error
        raise DonorError.of(f"cannot open this file: {error.strerror}", "", Mark(str(path))) from error


def read_exactly(fd: int, nbytes: int, offset: int, path: Path) -> bytes:
    """Read `nbytes` bytes from byte `offset` of the open file `fd`.

    DonorError, which names the file as `path`, when reading fails or the file ends too early.
    """
    parts: list[bytes] = []
    while nbytes:
        try:
            part = os.pread(fd, nbytes, offset)
        except OSError as error:
            message = f"cannot read {nbytes} bytes at {offset}: {error.strerror}"
            raise DonorError.of(message, "", Mark(str(path))) from error
        if not part:
            hint = "the file is damaged or its download was cut off: fetch it again"
            raise DonorError.of(f"the file ends at {offset}, {nbytes} bytes too early", hint, Mark(str(path)))
        parts.append(part)
        nbytes -= len(part)
        offset += len(part)
    return b"".join(parts)


def read_limited(fd: int, limit: int, path: Path) -> bytes:
    """Read the whole open file `fd`; DonorError, which names it as `path`, if it has more than `limit` bytes."""
    size = os.fstat(fd).st_size
    if size > limit:
        raise DonorError.of(f"the file has {size} bytes; stacker reads at most {limit}", "", Mark(str(path)))
    return read_exactly(fd, size, 0, path)
