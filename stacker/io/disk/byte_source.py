"""Defines how the bytes of a donor's open file are read, wherever the file is, and implements it for local files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Protocol

from stacker.io.disk.copies import find_data_runs, read_into


class ByteSource(Protocol):
    """An open file of a donor that several threads read, on this machine or on a server."""

    def read_into(self, view: memoryview, offset: int) -> None:
        """Fill `view` with the bytes of the file from `offset` on; DonorError when that fails."""
        ...

    def find_stored(self, offset: int, nbytes: int) -> list[tuple[int, int]]:
        """The ranges (begin, end) among the `nbytes` bytes from `offset` on that may hold anything but zeros."""
        ...

    def close(self) -> None:
        """Close the file, which no thread may be reading."""
        ...


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file on this machine that is open as descriptor `fd`."""

    fd: int

    def read_into(self, view: memoryview, offset: int) -> None:
        read_into(self.fd, view, offset)

    def find_stored(self, offset: int, nbytes: int) -> list[tuple[int, int]]:
        return find_data_runs(self.fd, offset, nbytes)

    def close(self) -> None:
        os.close(self.fd)
