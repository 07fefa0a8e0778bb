"""Reads the lock of an output of stacker from the metadata of a GGUF file."""

from __future__ import annotations

from pathlib import Path

from stacker.core.plan.packing import LOCK_KEY
from stacker.formats.gguf import encode_entry
from stacker.io.donors.gguf import read_range
from stacker.io.files.regular_files import read_header


def read_inner_lock(path: Path) -> tuple[bytes, tuple[int, int]] | None:
    """The lock in a GGUF file and the place of its bytes (offset, number of bytes), or None if there is none.

    DonorError when the file cannot be read.
    """
    header = read_header(path)
    entry = next((each for each in getattr(header, "entries", ()) if each.key == LOCK_KEY), None)
    if entry is None or entry.kind != "str":
        return None
    before = len(encode_entry(LOCK_KEY, "str", ""))
    room = entry.begin + before, entry.nbytes - before
    return read_range(path, *room), room
