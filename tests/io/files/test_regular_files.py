"""Files that stacker has written are read only where they are regular files of a reasonable size."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stacker.io.files.regular_files import read_stored


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    """Up to the limit."""
    (tmp_path / "file").write_bytes(b"0123")
    assert read_stored(tmp_path / "file", 4) == b"0123"


@pytest.mark.parametrize("name", ["pipe", "zero", "folder", "large", "none"])
def test_anything_else_is_an_error(tmp_path: Path, name: str) -> None:
    """Pipes, devices, folders, files beyond the limit, and what is not there."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    (tmp_path / "large").write_bytes(b"01234")
    with pytest.raises(OSError, match=r"not a regular file|more than 4 bytes|No such file|Is a directory"):
        read_stored(tmp_path / name, 4)
