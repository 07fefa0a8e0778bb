"""The reported abilities of the machine agree with those measured by other programs."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

import pytest

from stacker.errors import StorageError
from stacker.io.machine import inspect_folder, inspect_machine


def test_the_folder_is_tried_and_left_clean(tmp_path: Path) -> None:
    """Cloning agrees with what `cp --reflink=always` can do there; nothing stays behind."""
    found = inspect_folder(tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a").write_bytes(os.urandom(1 << 20))
    clones = subprocess.run(
        ["cp", "--reflink=always", tmp_path / "a", tmp_path / "b"], capture_output=True, check=False
    )
    assert (found.block is not None) == (clones.returncode == 0)
    assert found.free > 0


def test_direct_writes_are_what_dd_can_do(tmp_path: Path) -> None:
    """Direct writing is reported where another program can write directly."""
    direct = subprocess.run(
        ["dd", "if=/dev/zero", f"of={tmp_path / 'x'}", "bs=1M", "count=1", "oflag=direct"],
        capture_output=True,
        check=False,
    )
    assert inspect_folder(tmp_path).writes_past_cache == (direct.returncode == 0)


def test_the_filesystem_is_the_mounts(tmp_path: Path) -> None:
    """The filesystem type is the one that coreutils prints."""
    told = subprocess.run(["df", "--output=fstype", tmp_path], capture_output=True, text=True, check=True)
    assert inspect_folder(tmp_path).filesystem == told.stdout.split()[-1]


def test_versions_are_those_installed(tmp_path: Path) -> None:
    """Of packages as their metadata says, of Python as it runs; the cores are those this process may use."""
    machine = inspect_machine(tmp_path)
    assert dict(machine.packages)["numba"] == importlib.metadata.version("numba")
    assert platform.python_version() in machine.python
    assert machine.cores == len(os.sched_getaffinity(0))


def test_gpus_are_those_of_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line a GPU; a program that fails means none."""
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'Some GPU, 1024 MiB'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert inspect_machine(tmp_path).gpus == ("Some GPU, 1024 MiB",)
    program.write_text("#!/bin/sh\nexit 9\n")
    assert inspect_machine(tmp_path).gpus == ()


def test_no_such_folder(tmp_path: Path) -> None:
    """A missing folder is a StorageError."""
    with pytest.raises(StorageError, match="no such folder"):
        inspect_folder(tmp_path / "none")
