"""Bytes from one file into another by the cheapest way there is: cloned blocks, a copy in the kernel, read and write.

Holes stay holes. A way that fails is left for the next one, so that only the last, which knows the reader from the
writer, has an error to explain. Knows descriptors and offsets, not tensors.
"""

from __future__ import annotations

import fcntl
import os
import struct
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stacker.errors import DonorError, Mark
from stacker.io.repository import Progress, unheard
from stacker.io.space import data_runs
from stacker.io.storage import writing

_FICLONERANGE = 0x4020940D
_BUFFER = 1 << 20
_PAUSES = (0.05, 0.5)
"""Seconds before a read that failed is tried once more."""


@dataclass(frozen=True, slots=True)
class Moved:
    """How many bytes went which way."""

    cloned: int = 0
    copied: int = 0
    holes: int = 0

    def __add__(self, other: Moved) -> Moved:
        return Moved(self.cloned + other.cloned, self.copied + other.copied, self.holes + other.holes)


@dataclass(frozen=True, slots=True)
class _Run:
    """Bytes to move: where from, where to, how many."""

    source: int
    begin: int
    target: int
    target_begin: int
    nbytes: int

    @property
    def end(self) -> int:
        return self.begin + self.nbytes

    def part(self, begin: int, end: int) -> _Run:
        """Those of the bytes that are [begin, end) in the source."""
        return _Run(self.source, begin, self.target, self.target_begin + begin - self.begin, end - begin)

    def pieces(self, size: int) -> Iterator[_Run]:
        """The run in parts of `size` bytes; the last may be shorter."""
        for begin in range(self.begin, self.end, size):
            yield self.part(begin, min(begin + size, self.end))


def move(
    source_fd: int,
    source_offset: int,
    target_fd: int,
    target_offset: int,
    nbytes: int,
    *,
    chunk: int = 16 << 20,
    progress: Progress = unheard,
) -> Moved:
    """Make `nbytes` of the target equal to those of the source, in calls of at most `chunk` bytes; safe in any thread.

    `progress` is told the bytes of each call; what it raises stops the move. Copies are sent on their way to the disk
    at once, so that a later sync is short. DonorError when the source ends early or cannot be read, StorageError when
    the target cannot be written.
    """
    run = _Run(source_fd, source_offset, target_fd, target_offset, nbytes)
    cloned = _clone(run, chunk, progress)
    moved = Moved(cloned=cloned.nbytes)
    for rest in (run.part(run.begin, cloned.begin), run.part(cloned.end, run.end)):
        if rest.nbytes:
            moved += _copy(rest, chunk, progress)
    return moved


def can_clone(source: Path, target: Path) -> int | None:
    """The block size (bytes) when blocks of the file `source` can be cloned into new files in the folder `target`.

    Tried out on a file without a name; None also where `target` is missing or may not be written.
    """
    try:
        block = os.statvfs(target).f_bsize
        with source.open("rb", buffering=0) as reader, tempfile.TemporaryFile(dir=target) as writer:
            length = block if os.fstat(reader.fileno()).st_size >= block else 0
            _clone_range(_Run(reader.fileno(), 0, writer.fileno(), 0, length))
    except OSError:
        return None
    return block


def _clone(run: _Run, chunk: int, progress: Progress) -> _Run:
    """Clone the whole blocks of a run; the part that was cloned, empty where none could be."""
    block = os.fstatvfs(run.target).f_bsize
    begin, end = -(-run.begin // block) * block, run.end // block * block
    if (run.target_begin - run.begin) % block or begin >= end:
        return run.part(run.begin, run.begin)
    reached = begin
    for piece in run.part(begin, end).pieces(max(chunk // block, 1) * block):
        try:
            _clone_range(piece)
        except OSError:
            break
        reached = piece.end
        progress(piece.nbytes)
    return run.part(begin, reached) if reached > begin else run.part(run.begin, run.begin)


def _clone_range(run: _Run) -> None:
    """Share blocks; a length of 0 means up to the end of the source. See ioctl_ficlonerange(2)."""
    fcntl.ioctl(run.target, _FICLONERANGE, struct.pack("qQQQ", run.source, run.begin, run.nbytes, run.target_begin))


def _copy(run: _Run, chunk: int, progress: Progress) -> Moved:
    """Copy what the source stores of a run, and leave holes where it has holes."""
    reached, copied = run.begin, 0
    for begin, end in _stored(run):
        _skip(run.part(reached, begin), progress)
        _copy_stored(run.part(begin, end), chunk, progress)
        reached = end
        copied += end - begin
    _skip(run.part(reached, run.end), progress)
    return Moved(copied=copied, holes=run.nbytes - copied)


def _stored(run: _Run) -> list[tuple[int, int]]:
    """The parts [begin, end) of the source that are not holes; files without holes are not searched for any."""
    status = os.fstat(run.source)
    if status.st_blocks * 512 >= status.st_size:
        return [(run.begin, run.end)]
    if run.end > status.st_size:
        raise _truncated(run.source, status.st_size)
    return data_runs(run.source, run.begin, run.nbytes)


def _skip(run: _Run, progress: Progress) -> None:
    """A hole: nothing to do, unless the target already has something there."""
    if not run.nbytes:
        return
    with writing(_path(run.target)):
        for begin, end in data_runs(run.target, run.target_begin, run.nbytes):
            for start in range(begin, end, _BUFFER):
                write_all(run.target, bytes(min(_BUFFER, end - start)), start)
    progress(run.nbytes)


def _copy_stored(run: _Run, chunk: int, progress: Progress) -> None:
    ways = [_copy_in_kernel, _send, _read_and_write]
    while run.nbytes:
        piece = run.part(run.begin, min(run.begin + chunk, run.end))
        # workers share a descriptor, so the kernel sees no sequence to read ahead of; 20 % less than cp takes from disk
        os.posix_fadvise(piece.source, piece.begin, piece.nbytes, os.POSIX_FADV_WILLNEED)
        try:
            count = ways[0](piece)
        except OSError:
            count = 0
        if not count:
            ways.pop(0)
            continue
        # measured on ext4: starts the writing now and takes 0.8 s off the sync after 4 GB; as good as sync_file_range
        os.posix_fadvise(run.target, run.target_begin, count, os.POSIX_FADV_DONTNEED)
        progress(count)
        run = run.part(run.begin + count, run.end)


def _copy_in_kernel(run: _Run) -> int:
    return os.copy_file_range(run.source, run.target, run.nbytes, run.begin, run.target_begin)


def _send(run: _Run) -> int:
    """sendfile(2) writes at the descriptor's own position: it gets a descriptor that no other thread has."""
    own = os.open(f"/proc/self/fd/{run.target}", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.lseek(own, run.target_begin, os.SEEK_SET)
        return os.sendfile(own, run.source, run.begin, run.nbytes)
    finally:
        os.close(own)


def _read_and_write(run: _Run) -> int:
    """The last way: it moves everything or raises an error that says which side failed."""
    buffer = memoryview(bytearray(min(_BUFFER, run.nbytes)))
    for piece in run.pieces(len(buffer)):
        view = buffer[: piece.nbytes]
        read_into(piece.source, view, piece.begin)
        with writing(_path(piece.target)):
            write_all(piece.target, view, piece.target_begin)
    return run.nbytes


def read_into(fd: int, view: memoryview, offset: int) -> None:
    """Fill `view` with a donor's bytes from `offset` on, or DonorError."""
    while view:
        count = _read_some(fd, view, offset)
        if not count:
            raise _truncated(fd, offset)
        view, offset = view[count:], offset + count


def _read_some(fd: int, view: memoryview, offset: int) -> int:
    for pause in _PAUSES:
        try:
            return os.preadv(fd, [view], offset)
        except OSError:
            time.sleep(pause)
    try:
        return os.preadv(fd, [view], offset)
    except OSError as error:
        message = f"cannot read {len(view)} bytes at {offset}: {error.strerror}"
        raise DonorError.of(message, "the disk may be failing", Mark(str(_path(fd)))) from error


def write_all(fd: int, data: memoryview | bytes, offset: int) -> None:
    """Write all of `data` at `offset`; its OSErrors are for `writing` to explain."""
    view = memoryview(data)
    while view:
        count = os.pwrite(fd, view, offset)
        view, offset = view[count:], offset + count


def _truncated(fd: int, offset: int) -> DonorError:
    hint = "it was truncated or replaced while it was read: fetch the donor again"
    return DonorError.of(f"the donor's file ends at byte {offset}, too early", hint, Mark(str(_path(fd))))


def _path(fd: int) -> Path:
    """What a descriptor is called, for messages."""
    try:
        return Path(f"/proc/self/fd/{fd}").readlink()
    except OSError:
        return Path(f"descriptor {fd}")
