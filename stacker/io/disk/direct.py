"""Files written, and read again, past the page cache: straight between memory and disk, where the filesystem lets us.

A checkpoint that is written once and not read soon has no use for the cache. Past it, a copy and the memory for it are
saved, and what others have in the cache stays there. Measured on a virtual machine that must get fresh memory from its
host, 5.4 GB took 10 s by way of the cache and 2 s past it. See open(2), O_DIRECT.
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
"""Offsets, lengths and addresses are multiples of this, which all disks in use allow."""
MIN_DIRECT_BYTES = 1 << 16
"""Bytes below which waiting for the disk takes longer than a copy into the cache."""
_MIN_RESERVED_BYTES = 1 << 20
"""Bytes from which on room is taken before it is written: the disk has longer runs, and threads need not take turns."""


class Writer:
    """A file that threads write in pieces: whole blocks past the cache, what is left over through it.

    Its OSErrors are for `writing` to explain. `fd` stays the caller's; `direct` says whether blocks go past the cache.
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
        """Take room for what will be written; where there is none for it, that is an OSError now."""
        if not self.direct or nbytes < _MIN_RESERVED_BYTES:
            return
        try:
            os.posix_fallocate(self.fd, offset, nbytes)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise

    def write(self, data: memoryview, offset: int) -> None:
        """Write all of `data` at `offset`; it goes past the cache if it lies in memory as it will in blocks."""
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
        """Write whole blocks past the cache; False, with nothing certain written, where that does not work."""
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
    """A file as it lies on the disk, which need not be what the cache says of it; for many threads.

    Its OSErrors are for `writing` to explain. `fd` stays the caller's.
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
        """`nbytes` from `offset` on, or as many as there are, in memory that this thread's next read overwrites."""
        begin = offset // DIRECT_ALIGNMENT * DIRECT_ALIGNMENT
        if self._direct is not None and nbytes >= MIN_DIRECT_BYTES:
            buffer = _own_buffer(offset - begin + nbytes)
            with suppress(OSError):  # the ordinary way says what is wrong
                found = buffer[: os.preadv(self._direct, [buffer], begin)][offset - begin :]
                if len(found) >= nbytes:
                    return found[:nbytes]
        return memoryview(os.pread(self.fd, nbytes, offset))


_BUFFERS = threading.local()


def _own_buffer(nbytes: int) -> memoryview:
    """The buffer of the calling thread for reads past the cache: `nbytes`, rounded up to whole blocks."""
    blocks = -(-nbytes // DIRECT_ALIGNMENT) * DIRECT_ALIGNMENT
    buffer: memoryview | None = getattr(_BUFFERS, "buffer", None)
    if buffer is None or len(buffer) < blocks:
        buffer = _BUFFERS.buffer = memoryview(mmap.mmap(-1, blocks))
    return buffer[:blocks]


def _open_direct(fd: int, way: int) -> int | None:
    """Another descriptor of the same file, past the cache; None on a filesystem without that, or with larger blocks.

    In those, what goes by way of the cache would share a block, or a page, with what goes past it, and could undo it.
    """
    try:
        if os.fstatvfs(fd).f_bsize > DIRECT_ALIGNMENT:
            return None
        return os.open(f"/proc/self/fd/{fd}", way | os.O_DIRECT | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in OUT_OF_DESCRIPTORS:
            raise
        return None


def write_all(fd: int, data: memoryview | bytes, offset: int) -> None:
    """Write all of `data` at `offset`; its OSErrors are for `writing` to explain."""
    view = memoryview(data)
    while view:
        count = os.pwrite(fd, view, offset)
        view, offset = view[count:], offset + count


def _find_address(data: memoryview) -> int:
    """Where it lies in memory; -1, which is aligned to nothing, for what cannot be asked."""
    return -1 if data.readonly else ctypes.addressof(ctypes.c_char.from_buffer(data))
