"""Files that others made: opened only when they are regular files, read in full or with an error that names them.

The one place where a failing `open` or `read` of a donor's file becomes a DonorError.
"""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

from stacker.errors import DonorError, Mark
from stacker.formats.safetensors import Header, parse_header, parse_header_length

_KINDS = (
    (stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a named pipe"), (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"),
)  # fmt: skip


def open_regular(path: Path) -> int:
    """A file descriptor to read the regular file at `path`; never waits on a pipe, never opens a device."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise DonorError.of(f"cannot open this file: {error.strerror}", "", Mark(str(path))) from error
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode):
        os.close(fd)
        kind = next((name for test, name in _KINDS if test(mode)), "not a file")
        raise DonorError.of(f"this is {kind}, not a regular file", "", Mark(str(path)))
    return fd


def read_exactly(fd: int, nbytes: int, offset: int, path: Path) -> bytes:
    """`nbytes` from `offset` on; DonorError (naming `path`) when the file ends before, or cannot be read."""
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


def read_header(path: Path) -> Header:
    """The header of the safetensors file at `path`; DonorError says what is wrong with it."""
    fd = open_regular(path)
    try:
        status = os.fstat(fd)
        first = read_exactly(fd, min(status.st_size, 64), 0, path)
        length = parse_header_length(first, status.st_size, str(path))
        header = parse_header(read_exactly(fd, length, 0, path), status.st_size, str(path))
    finally:
        os.close(fd)
    return replace(header, mtime=status.st_mtime_ns)
