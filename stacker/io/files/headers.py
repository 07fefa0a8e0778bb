"""Reads the headers of safetensors and GGUF files, with the version of the file that they were read from."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path

from stacker.formats.gguf import parse_gguf_header
from stacker.formats.gguf_names import SUFFIX
from stacker.formats.safetensors import FileStamp, Header, parse_header, parse_header_length
from stacker.io.files.regular_files import open_regular, read_exactly


def read_header(path: Path) -> Header:
    """Read the header of the safetensors or GGUF file at `path`.

    DonorError when the file cannot be read or its header is not valid.
    """
    fd = open_regular(path)
    try:
        return read_open_header(fd, path)
    finally:
        os.close(fd)


def make_stamp(status: os.stat_result) -> FileStamp:
    """The version of a file, from the result of `os.stat` or `os.fstat`."""
    return FileStamp(status.st_ino, status.st_mtime_ns, status.st_ctime_ns)


def read_open_header(fd: int, path: Path) -> Header:
    """Read the header of the open safetensors or GGUF file `fd`; errors name the file as `path`."""
    status = os.fstat(fd)
    if path.name.endswith(SUFFIX):
        parsed = parse_gguf_header(partial(_read_some, fd, path), status.st_size, str(path))
        return replace(parsed, stamp=make_stamp(status))
    first = read_exactly(fd, min(status.st_size, 64), 0, path)
    length = parse_header_length(first, status.st_size, str(path))
    header = parse_header(read_exactly(fd, length, 0, path), status.st_size, str(path))
    return replace(header, stamp=make_stamp(status))


def _read_some(fd: int, path: Path, offset: int, nbytes: int) -> bytes:
    size = os.fstat(fd).st_size
    return read_exactly(fd, max(min(nbytes, size - offset), 0), offset, path)
