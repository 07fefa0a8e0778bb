"""Copies bytes from one file to another: clones blocks where possible, keeps holes as holes, and copies the rest.

Cloned blocks are shared by both files on the disk; a hole is a range of a sparse file that takes no disk space and
reads as zeros. This module works on file descriptors and offsets, and knows nothing about tensors; threads may share
the files.
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
    """How many bytes of a move were cloned, how many were copied, and how many were left as holes in the target."""

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
    """Write `nbytes` bytes of the source file into the target file by cloning, by copying, or by leaving holes.

    After each step of about `chunk` bytes, `progress` is called with the number of bytes of the step, and may stop the
    move by raising an exception. DonorError when the source ends early or cannot be read, StorageError when the target
    cannot be written.
    """
    run = Span(source_fd, source_offset, target, target_offset, nbytes)
    cloned = _clone(run, chunk, progress)
    moved = Moved(cloned=cloned.nbytes)
    for rest in (run.part(run.begin, cloned.begin), run.part(cloned.end, run.end)):
        if rest.nbytes:
            moved += _copy(rest, chunk, progress)
    return moved


def can_clone(source: Path, target: Path) -> int | None:
    """The block size in bytes of `target`'s filesystem if blocks of the file `source` can be cloned into that folder.

    None if cloning fails, or if the folder `target` does not exist or cannot be written. Cloning is tried on an unnamed
    temporary file.
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
    """Clone the whole blocks of a span, from the first block on, until cloning fails.

    Returns the part of the span that was cloned, which may be empty.
    """
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
    """Make the target file share disk blocks with the source file, see ioctl_ficlonerange(2).

    If `nbytes` is 0, all blocks from `begin` to the end of the source are shared; OSError when the filesystem refuses.
    """
    fcntl.ioctl(target, _FICLONERANGE, struct.pack("qQQQ", source, begin, nbytes, target_begin))


def _copy(run: Span, chunk: int, progress: Progress) -> Moved:
    """Copy the ranges of a span that the source stores on the disk, and leave the holes of the source as holes."""
    reached, copied = run.begin, 0
    for begin, end in _find_stored(run):
        _leave_hole(run.part(reached, begin), progress)
        copy_stored(run.part(begin, end), chunk, progress)
        reached = end
        copied += end - begin
    _leave_hole(run.part(reached, run.end), progress)
    return Moved(copied=copied, holes=run.nbytes - copied)


def _find_stored(run: Span) -> list[tuple[int, int]]:
    """The ranges of a span that the source file stores on the disk, as pairs (begin, end) of offsets, in order.

    The bytes between the ranges are holes; DonorError when the source ends early or cannot be read.
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
    """Make the target read as zeros in `run`, a hole of the source, and call `progress` with the length of the hole.

    Zeros are written only where the target already stores bytes; the rest of the range stays a hole of the target.
    """
    if not run.nbytes:
        return
    with explain_errors(find_path(run.target.fd)):
        for begin, end in find_data_runs(run.target.fd, run.target_begin, run.nbytes):
            for start in range(begin, end, _ZERO_BYTES):
                write_all(run.target.fd, bytes(min(_ZERO_BYTES, end - start)), start)
    progress(run.nbytes)
