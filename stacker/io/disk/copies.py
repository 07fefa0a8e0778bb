"""Copies bytes between files by bypassing the page cache, inside the kernel, or by reading and writing.

These ways are tried in this order, the next when one fails. The last way, reading and writing, raises errors that say
whether reading or writing failed.
"""

from __future__ import annotations

import errno
import mmap
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stacker.errors import DonorError, Mark
from stacker.io.disk.direct import DIRECT_ALIGNMENT, MIN_DIRECT_BYTES, Writer, write_all
from stacker.io.disk.storage import explain_errors
from stacker.progress import Progress

_BUFFER_BYTES = 1 << 20
_DIRECT_BYTES = 1 << 21
"""How many bytes of a source file are mapped or read at once for a write that bypasses the page cache.

A larger number would raise the process's resident memory, which includes mapped pages.
"""
_RETRY_PAUSES = (0.05, 0.5)
"""Seconds to wait before each retry of a failed read."""


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes to copy: `nbytes` bytes from offset `begin` of a source file to offset `target_begin` of a target file.

    `source` is the descriptor of the source file.
    """

    source: int
    begin: int
    target: Writer
    target_begin: int
    nbytes: int

    @property
    def end(self) -> int:
        return self.begin + self.nbytes

    def part(self, begin: int, end: int) -> Span:
        """The part of this span that covers the bytes [begin, end) of the source file."""
        return Span(self.source, begin, self.target, self.target_begin + begin - self.begin, end - begin)

    def pieces(self, size: int) -> Iterator[Span]:
        """Cut this span into spans of `size` bytes, in order; the last one may be shorter."""
        for begin in range(self.begin, self.end, size):
            yield self.part(begin, min(begin + size, self.end))


CopyMethod = Callable[[Span], int]
"""A function that copies bytes of a span, from the first byte on, and returns how many bytes were copied.

It returns 0 or raises an OSError when no byte can be copied in this way.
"""


def copy_stored(span: Span, chunk: int, progress: Progress) -> None:
    """Copy all bytes of a span in steps of at most `chunk` bytes, and call `progress` with the bytes of each step.

    Writes of whole blocks of a large span bypass the page cache if the filesystem supports such writes.
    """
    begin = min(span.begin + -span.target_begin % DIRECT_ALIGNMENT, span.end)
    end = begin + (span.end - begin) // DIRECT_ALIGNMENT * DIRECT_ALIGNMENT
    if not span.target.direct or end - begin < MIN_DIRECT_BYTES:
        end = begin = span.begin
    _copy(span.part(span.begin, begin), _THROUGH_CACHE, chunk, progress)
    _copy(span.part(begin, end), (_write_direct, *_THROUGH_CACHE), chunk, progress)
    _copy(span.part(end, span.end), _THROUGH_CACHE, chunk, progress)


def _copy(span: Span, methods: Sequence[CopyMethod], chunk: int, progress: Progress) -> None:
    while span.nbytes:
        piece = span.part(span.begin, min(span.begin + chunk, span.end))
        # workers share a descriptor, so the kernel does not see sequential reads and read ahead: a fifth of cp's time
        os.posix_fadvise(piece.source, piece.begin, piece.nbytes, os.POSIX_FADV_WILLNEED)
        try:
            count = methods[0](piece)
        except OSError:
            count = 0
        if not count:
            methods = methods[1:]
            continue
        progress(count)
        span = span.part(span.begin + count, span.end)


def _write_direct(span: Span) -> int:
    """Copy a span of whole blocks with writes that bypass the page cache; returns how many bytes were copied.

    Copying stops when the filesystem refuses such a write. If the offset in the source is a multiple of
    DIRECT_ALIGNMENT, the source is mapped into memory instead of read into a buffer, which was measured to be a third
    faster.
    """
    span.target.reserve(span.target_begin, span.nbytes)
    read = (
        partial(_read_aligned, memoryview(mmap.mmap(-1, min(_DIRECT_BYTES, span.nbytes))))
        if span.begin % DIRECT_ALIGNMENT
        else _map_source
    )
    for piece in span.pieces(_DIRECT_BYTES):
        if not span.target.write_blocks(read(piece), piece.target_begin):
            return piece.begin - span.begin
    return span.nbytes


def _map_source(span: Span) -> memoryview:
    """Map the bytes of a span of the source file into memory; OSError when the file ends within the span.

    Pass the result only to write(2), which returns an error if the file is truncated meanwhile; any other access to the
    mapped bytes would then end the process with SIGBUS.
    """
    try:
        return memoryview(mmap.mmap(span.source, span.nbytes, mmap.MAP_SHARED, mmap.PROT_READ, offset=span.begin))
    except ValueError as error:
        raise OSError("the source ends before the span") from error


def _read_aligned(buffer: memoryview, span: Span) -> memoryview:
    view = buffer[: span.nbytes]
    read_into(span.source, view, span.begin)
    return view


def _copy_in_kernel(span: Span) -> int:
    return os.copy_file_range(span.source, span.target.fd, span.nbytes, span.begin, span.target_begin)


def _send(span: Span) -> int:
    """Copy with sendfile(2) and return how many bytes were copied.

    sendfile writes at the current position of a descriptor, and threads share the target's descriptor, so a second
    descriptor is opened here.
    """
    own = os.open(f"/proc/self/fd/{span.target.fd}", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.lseek(own, span.target_begin, os.SEEK_SET)
        return os.sendfile(own, span.source, span.begin, span.nbytes)
    finally:
        os.close(own)


def _read_and_write(span: Span) -> int:
    """Copy the whole span through a buffer and return its length.

    DonorError when reading fails, StorageError when writing fails.
    """
    buffer = memoryview(bytearray(min(_BUFFER_BYTES, span.nbytes)))
    for piece in span.pieces(len(buffer)):
        view = buffer[: piece.nbytes]
        read_into(piece.source, view, piece.begin)
        with explain_errors(find_path(piece.target.fd)):
            write_all(piece.target.fd, view, piece.target_begin)
    return span.nbytes


_THROUGH_CACHE: tuple[CopyMethod, ...] = (_copy_in_kernel, _send, _read_and_write)


def read_into(fd: int, view: memoryview, offset: int) -> None:
    """Fill `view` with the bytes of an open donor file from `offset` on; DonorError when reading fails."""
    while view:
        count = _read_some(fd, view, offset)
        if not count:
            raise make_truncated_error(fd, offset)
        view, offset = view[count:], offset + count


def _read_some(fd: int, view: memoryview, offset: int) -> int:
    for pause in _RETRY_PAUSES:
        try:
            return os.preadv(fd, [view], offset)
        except OSError:
            time.sleep(pause)
    try:
        return os.preadv(fd, [view], offset)
    except OSError as error:
        raise make_read_error(fd, len(view), offset, error) from error


def make_read_error(fd: int, nbytes: int, offset: int, error: OSError) -> DonorError:
    """Make the DonorError that says that `nbytes` bytes at `offset` of an open donor file cannot be read."""
    message = f"cannot read {nbytes} bytes at {offset}: {error.strerror}"
    return DonorError.of(message, "the disk may be failing", Mark(str(find_path(fd))))


def make_truncated_error(fd: int, offset: int) -> DonorError:
    """Make the DonorError that says that an open donor file ends too early, at byte `offset`."""
    hint = "it was truncated or replaced while it was read: fetch the donor again"
    return DonorError.of(f"the donor's file ends at byte {offset}, too early", hint, Mark(str(find_path(fd))))


def find_path(fd: int) -> Path:
    """The path of an open file, for messages; `descriptor N` when the system does not report the file's path."""
    try:
        return Path(f"/proc/self/fd/{fd}").readlink()
    except OSError:
        return Path(f"descriptor {fd}")


def find_data_runs(fd: int, offset: int, nbytes: int) -> list[tuple[int, int]]:
    """The ranges that a file stores on the disk among the `nbytes` bytes from `offset` on.

    Each range is a pair (begin, end) of offsets, in order; the bytes between the ranges are holes, which read as zeros.
    """
    runs: list[tuple[int, int]] = []
    stop = offset + nbytes
    while offset < stop:
        begin = _seek(fd, offset, os.SEEK_DATA)
        if begin is None or begin >= stop:
            break
        end = _seek(fd, begin, os.SEEK_HOLE)
        if end is None or end <= begin:  # a device, or a filesystem that does not report holes
            return [*runs, (offset, stop)]
        runs.append((begin, min(end, stop)))
        offset = end
    return runs


def _seek(fd: int, offset: int, whence: int) -> int | None:
    """The offset of the first data (`whence` is SEEK_DATA) or hole (`whence` is SEEK_HOLE) at or after `offset`.

    None when there is no data after `offset`, or when the file ends before `offset`.
    """
    try:
        return os.lseek(fd, offset, whence)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None
        raise
