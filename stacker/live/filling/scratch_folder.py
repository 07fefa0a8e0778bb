"""Shows small files to libraries that read only from folders, without writing to a disk where that can be avoided."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from stacker.io.files.paths import is_folder

_IN_MEMORY = Path("/dev/shm")  # noqa: S108 - only new folders with random names are made in it
"""A folder whose files Linux keeps in memory."""


@contextmanager
def open_folder(files: Mapping[str, bytes]) -> Iterator[Path]:
    """A folder with these files, by their relative paths, for the length of a `with` block."""
    place = _IN_MEMORY if is_folder(_IN_MEMORY) else None
    with tempfile.TemporaryDirectory(prefix="stacker-", dir=place) as name:
        for file, data in files.items():
            (Path(name) / file).parent.mkdir(parents=True, exist_ok=True)
            (Path(name) / file).write_bytes(data)
        yield Path(name)
