"""Disk space: bytes free, bytes needed, and bytes that a sparse file stores."""

from __future__ import annotations

from pathlib import Path

import pytest

from stacker.errors import DonorError, StorageError
from stacker.io.disk.space import check_space, count_allocated_bytes
from tests.io.images import tmpfs


def test_room_is_checked(tmp_path: Path) -> None:
    """Too little space is an error with bytes needed and free; the folder need not exist."""
    with tmpfs(tmp_path) as place:
        check_space(place / "a" / "out", 900_000)
        with pytest.raises(StorageError, match=r"needs 2,000,000 bytes, but only 1,0\d\d,\d\d\d are free"):
            check_space(place / "a" / "out", 2_000_000)


def test_unfinished_work_counts_as_free(tmp_path: Path) -> None:
    """Space taken by unfinished work counts as free."""
    with tmpfs(tmp_path) as place:
        (place / "out.partial").mkdir()
        (place / "out.partial" / "shard").write_bytes(bytes(600_000))
        check_space(place / "out", 900_000)


def test_holes_take_nothing(tmp_path: Path) -> None:
    """Only stored blocks of a sparse file count."""
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(1 << 30)
        file.seek(1 << 20)
        file.write(b"x" * 4096)
    assert count_allocated_bytes(path, 0, 1 << 30) == 4096
    assert count_allocated_bytes(path, (1 << 20) + 96, 10_000) == 4000
    assert count_allocated_bytes(path, 2 << 20, 1 << 20) == 0


def test_dense_files_take_what_they_have(tmp_path: Path) -> None:
    """A file without holes counts in full, and is not searched."""
    path = tmp_path / "dense"
    path.write_bytes(b"x" * 10_000)
    assert count_allocated_bytes(path, 5, 900) == 900


def test_a_missing_file_is_a_donors(tmp_path: Path) -> None:
    """A file that cannot be read is a DonorError."""
    with pytest.raises(DonorError, match="absent: cannot read this file"):
        count_allocated_bytes(tmp_path / "absent", 0, 1)
