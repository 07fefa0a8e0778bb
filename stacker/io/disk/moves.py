"""Copies bytes from one file to another at the lowest cost: clones blocks, leaves holes as holes, copies the rest.

Works on file descriptors and offsets, and knows nothing about tensors. Threads may share the files.
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
    """How many bytes were cloned, how many were copied, and how many were left as holes."""

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
    """Clone or copy `nbytes` bytes of the source into the target in steps of about `chunk` bytes, leaving out holes.

    `progress` is called with the bytes of each step, and may stop the move by raising an exception. DonorError when the
    source ends early or cannot be read, StorageError when the target cannot be written.
    """
    run = Span(source_fd, source_offset, target, target_offset, nbytes)
    cloned = _clone(run, chunk, progress)
    moved = Moved(cloned=cloned.nbytes)
    for rest in (run.part(run.begin, cloned.begin), run.part(cloned.end, run.end)):
        if rest.nbytes:
            moved += _copy(rest, chunk, progress)
    return moved


def can_clone(source: Path, target: Path) -> int | None:
    """The block size in bytes if blocks of the file `source` can be cloned into new files in the folder `target`.

    None if they cannot, or if `target` does not exist or cannot be written; tried on an unnamed temporary file.
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
    """Clone the whole blocks of a span until one fails; returns the part that was cloned, which may be empty."""
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
    """Make the target share blocks of the source, see ioctl_ficlonerange(2); OSError when the filesystem refuses.

    If `nbytes` is 0, all blocks up to the end of the source are shared.
    """
    fcntl.ioctl(target, _FICLONERANGE, struct.pack("qQQQ", source, begin, nbytes, target_begin))


def _copy(run: Span, chunk: int, progress: Progress) -> Moved:
    """Copy the parts of a span that the source stores on the disk, and leave the holes of the source as holes."""
    reached, copied = run.begin, 0
    for begin, end in _find_stored(run):
        _leave_hole(run.part(reached, begin), progress)
        copy_stored(run.part(begin, end), chunk, progress)
        reached = end
        copied += end - begin
    _leave_hole(run.part(reached, run.end), progress)
    return Moved(copied=copied, holes=run.nbytes - copied)


def _find_stored(run: Span) -> list[tuple[int, int]]:
    """The ranges [begin, end) of a span that the source stores on the disk, in order; the bytes between them are holes.

    DonorError when the source ends early or cannot be read.
    """
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
    """Make the target read as zeros where the source has a hole, and call `progress` with the length of the hole.

    Zeros are written only where the target already stores bytes; elsewhere the target keeps a hole.
    """
    if not run.nbytes:
        return
    with explain_errors(find_path(run.target.fd)):
        for begin, end in find_data_runs(run.target.fd, run.target_begin, run.nbytes):
            for start in range(begin, end, _ZERO_BYTES):
                write_all(run.target.fd, bytes(min(_ZERO_BYTES, end - start)), start)
    progress(run.nbytes)
