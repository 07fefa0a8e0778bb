"""Makes bytes of one file equal to another's at the lowest cost: cloned blocks, holes left as holes, or a copy.

Knows descriptors and offsets, not tensors.
"""

from __future__ import annotations

import fcntl
import os
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path

from stacker.io.disk.copies import Span, copy_stored, find_data_runs, find_path, make_read_error, make_truncated_error
from stacker.io.disk.direct import Writer, write_all
from stacker.io.disk.storage import explain_errors
from stacker.progress import Progress, ignore_progress

_FICLONERANGE = 0x4020940D
_ZERO_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Moved:
    """Bytes that were cloned, copied, and left as holes."""

    cloned: int = 0
    copied: int = 0
    holes: int = 0

    def __add__(self, other: Moved) -> Moved:
        return Moved(self.cloned + other.cloned, self.copied + other.copied, self.holes + other.holes)


def move(
    source_fd: int,
    source_offset: int,
    target: Writer,
    target_offset: int,
    nbytes: int,
    *,
    chunk: int = 16 << 20,
    progress: Progress = ignore_progress,
) -> Moved:
    """Make `nbytes` of the target equal to those of the source, in calls of at most `chunk` bytes. Thread-safe.

    `progress` gets the bytes of each call; an exception it raises stops the move. DonorError when the source ends early
    or cannot be read, StorageError when the target cannot be written.
    """
    run = Span(source_fd, source_offset, target, target_offset, nbytes)
    cloned = _clone(run, chunk, progress)
    moved = Moved(cloned=cloned.nbytes)
    for rest in (run.part(run.begin, cloned.begin), run.part(cloned.end, run.end)):
        if rest.nbytes:
            moved += _copy(rest, chunk, progress)
    return moved


def can_clone(source: Path, target: Path) -> int | None:
    """The block size (bytes) if blocks of the file `source` can be cloned into new files of the folder `target`.

    Tried with an unnamed file. None when they cannot, and when `target` is missing or may not be written.
    """
    try:
        block = os.statvfs(target).f_bsize
        with source.open("rb", buffering=0) as reader, tempfile.TemporaryFile(dir=target) as writer:
            length = block if os.fstat(reader.fileno()).st_size >= block else 0
            _clone_range(reader.fileno(), 0, writer.fileno(), 0, length)
    except OSError:
        return None
    return block


def _clone(run: Span, chunk: int, progress: Progress) -> Span:
    """Clone the whole blocks of a run. Returns the part that was cloned, which may be empty."""
    block = os.fstatvfs(run.target.fd).f_bsize
    begin, end = -(-run.begin // block) * block, run.end // block * block
    if (run.target_begin - run.begin) % block or begin >= end:
        return run.part(run.begin, run.begin)
    reached = begin
    for piece in run.part(begin, end).pieces(max(chunk // block, 1) * block):
        try:
            _clone_range(piece.source, piece.begin, piece.target.fd, piece.target_begin, piece.nbytes)
        except OSError:
            break
        reached = piece.end
        progress(piece.nbytes)
    return run.part(begin, reached) if reached > begin else run.part(run.begin, run.begin)


def _clone_range(source: int, begin: int, target: int, target_begin: int, nbytes: int) -> None:
    """Share blocks; a length of 0 means up to the end of the source. See ioctl_ficlonerange(2)."""
    fcntl.ioctl(target, _FICLONERANGE, struct.pack("qQQQ", source, begin, nbytes, target_begin))


def _copy(run: Span, chunk: int, progress: Progress) -> Moved:
    """Copy the stored parts of a run and leave its holes as holes."""
    reached, copied = run.begin, 0
    for begin, end in _find_stored(run):
        _leave_hole(run.part(reached, begin), progress)
        copy_stored(run.part(begin, end), chunk, progress)
        reached = end
        copied += end - begin
    _leave_hole(run.part(reached, run.end), progress)
    return Moved(copied=copied, holes=run.nbytes - copied)


def _find_stored(run: Span) -> list[tuple[int, int]]:
    """The stored parts [begin, end) of a run's source; files without holes are not searched."""
    status = os.fstat(run.source)
    if status.st_blocks * 512 >= status.st_size:
        return [(run.begin, run.end)]
    if run.end > status.st_size:
        raise make_truncated_error(run.source, status.st_size)
    try:
        return find_data_runs(run.source, run.begin, run.nbytes)
    except OSError as error:
        raise make_read_error(run.source, run.nbytes, run.begin, error) from error


def _leave_hole(run: Span, progress: Progress) -> None:
    """Leave a hole of the source as a hole of the target; bytes that the target already stores there become zeros."""
    if not run.nbytes:
        return
    with explain_errors(find_path(run.target.fd)):
        for begin, end in find_data_runs(run.target.fd, run.target_begin, run.nbytes):
            for start in range(begin, end, _ZERO_BYTES):
                write_all(run.target.fd, bytes(min(_ZERO_BYTES, end - start)), start)
    progress(run.nbytes)
