"""Small filesystems in files, mounted for a test: XFS that clones, tmpfs that is soon full."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


@contextmanager
def mounted(*arguments: str, at: Path) -> Iterator[Path]:
    """A mount for as long as the context; the test is skipped where mounting is not allowed."""
    at.mkdir()
    try:
        _run("mount", *arguments, str(at))
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"cannot mount here: {getattr(error, 'stderr', error)!r}")
    try:
        yield at
    finally:
        _run("umount", str(at))


@contextmanager
def xfs(folder: Path) -> Iterator[Path]:
    """An empty XFS of 320 MB (sparse) that can clone blocks."""
    if os.geteuid() != 0 or not shutil.which("mkfs.xfs"):
        pytest.skip("needs root and mkfs.xfs")
    image = folder / "xfs.img"
    with image.open("wb") as file:
        file.truncate(320 << 20)
    _run("mkfs.xfs", "-q", "-m", "reflink=1", str(image))
    with mounted("-o", "loop", str(image), at=folder / "xfs") as place:
        yield place


@contextmanager
def tmpfs(folder: Path, size: str = "1m") -> Iterator[Path]:
    """A filesystem of that size, in memory."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with mounted("-t", "tmpfs", "-o", f"size={size}", "tmpfs", at=folder / "tmpfs") as place:
        yield place
