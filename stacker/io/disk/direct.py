"""Writes and reads files past the page cache (O_DIRECT, see open(2)) where the filesystem supports it.

Saves a copy and its memory, and leaves other programs' pages in the cache. Measured on a virtual machine that gets
fresh memory from its host: 5.4 GB took 10 s through the cache and 2 s past it.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import threading
from contextlib import suppress
from typing import Self

from stacker.core.plan import plan
from stacker.io.disk.storage import OUT_OF_DESCRIPTORS

DIRECT_ALIGNMENT = max(plan.BLOCK, mmap.PAGESIZE)
"""Offsets, lengths and addresses of direct reads and writes are multiples of this (bytes), which all disks accept."""
MIN_DIRECT_BYTES = 1 << 16
"""Smaller writes (bytes) go through the cache: waiting for the disk would take longer than a copy."""
_MIN_RESERVED_BYTES = 1 << 20
"""Space for at least so many bytes is allocated before they are written: longer extents, less waiting among threads."""


class Writer:
    """Writes a file from many threads: whole blocks past the page cache, the rest through it. Raises OSErrors.

    `fd` stays open when the Writer is closed; `direct` is whether blocks still go past the cache.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._direct = _open_direct(fd, os.O_WRONLY)
        self.direct = self._direct is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the descriptor that goes past the cache; later writes go through the cache."""
        self.direct = False
        if self._direct is not None:
            os.close(self._direct)
            self._direct = None

    def reserve(self, offset: int, nbytes: int) -> None:
        """Allocate disk space for a large range before it is written; raises an OSError now if the disk is too full."""
        if not self.direct or nbytes < _MIN_RESERVED_BYTES:
            return
        try:
            os.posix_fallocate(self.fd, offset, nbytes)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise

    def write(self, data: memoryview, offset: int) -> None:
        """Write all of `data` at byte `offset`, past the cache if its address has the same alignment as `offset`."""
        begin, end = 0, 0
        if (
            self.direct
            and len(data) >= MIN_DIRECT_BYTES
            and _find_address(data) % DIRECT_ALIGNMENT == offset % DIRECT_ALIGNMENT
        ):
            begin = -offset % DIRECT_ALIGNMENT
            end = begin + (len(data) - begin) // DIRECT_ALIGNMENT * DIRECT_ALIGNMENT
            if not self.write_blocks(data[begin:end], offset + begin):
                begin, end = 0, 0
        write_all(self.fd, data[:begin], offset)
        write_all(self.fd, data[end:], offset + end)

    def write_blocks(self, data: memoryview, offset: int) -> bool:
        """Write whole aligned blocks past the cache. False, with any part of them written, when that is impossible."""
        if self._direct is None or not self.direct:
            return False
        try:
            write_all(self._direct, data, offset)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            self.direct = False
            return False
        return True


class Reader:
    """Reads a file from many threads, large ranges from the disk itself and not from the page cache. Raises OSErrors.

    `fd` stays open when the Reader is closed.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._direct = _open_direct(fd, os.O_RDONLY)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the descriptor that goes past the cache; later reads go through the cache."""
        if self._direct is not None:
            os.close(self._direct)
            self._direct = None

    def read(self, nbytes: int, offset: int) -> memoryview:
        """`nbytes` from `offset` on, fewer at the end of the file; valid until the thread's next read of any file."""
        begin = offset // DIRECT_ALIGNMENT * DIRECT_ALIGNMENT
        if self._direct is not None and nbytes >= MIN_DIRECT_BYTES:
            buffer = _own_buffer(offset - begin + nbytes)
            with suppress(OSError):  # reading through the cache reports the error
                data = buffer[: os.preadv(self._direct, [buffer], begin)][offset - begin :]
                if len(data) >= nbytes:
                    return data[:nbytes]
        return memoryview(os.pread(self.fd, nbytes, offset))


_BUFFERS = threading.local()


def _own_buffer(nbytes: int) -> memoryview:
    """The buffer of the calling thread for reads past the cache: `nbytes`, rounded up to whole blocks."""
    blocks = -(-nbytes // DIRECT_ALIGNMENT) * DIRECT_ALIGNMENT
    buffer: memoryview | None = getattr(_BUFFERS, "buffer", None)
    if buffer is None or len(buffer) < blocks:
        buffer = _BUFFERS.buffer = memoryview(mmap.mmap(-1, blocks))
    return buffer[:blocks]


def _open_direct(fd: int, access: int) -> int | None:
    """A second descriptor of an open file, for direct access; None when the filesystem has none, or larger blocks.

    In larger blocks, bytes written through the cache could overwrite others of the block that were written past it.
    """
    try:
        if os.fstatvfs(fd).f_bsize > DIRECT_ALIGNMENT:
            return None
        return os.open(f"/proc/self/fd/{fd}", access | os.O_DIRECT | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in OUT_OF_DESCRIPTORS:
            raise
        return None


def write_all(fd: int, data: memoryview | bytes, offset: int) -> None:
    """Write all of `data` at byte `offset`. Raises OSErrors."""
    view = memoryview(data)
    while view:
        count = os.pwrite(fd, view, offset)
        view, offset = view[count:], offset + count


def _find_address(data: memoryview) -> int:
    """The address of a buffer; -1, which is never aligned, when it is read-only."""
    return -1 if data.readonly else ctypes.addressof(ctypes.c_char.from_buffer(data))
