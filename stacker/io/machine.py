"""What this machine can do for stacker, tried out where that is possible. torch is looked up, never imported."""

from __future__ import annotations

import mmap
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from stacker.errors import Mark, StorageError
from stacker.io.disk.copies import find_data_runs
from stacker.io.disk.direct import Writer
from stacker.io.disk.moves import can_clone
from stacker.io.disk.storage import count_free_bytes, explain_errors

PACKAGES = ("numpy", "numba", "ml_dtypes", "huggingface_hub", "networkx", "pydantic", "typer", "rich")
FOR_DEVICES = ("torch",)
"""What a build on a GPU takes besides."""
_TRIAL = 1 << 20
"""Bytes of the file that the ways of copying are tried on."""


@dataclass(frozen=True, slots=True)
class Folder:
    """What can be done in a folder: `block` bytes can be cloned at a time (None: not at all)."""

    path: Path
    filesystem: str
    free: int
    block: int | None
    copies_in_kernel: bool
    writes_past_cache: bool
    keeps_holes: bool


@dataclass(frozen=True, slots=True)
class Hub:
    """How hub donors would be had; whether a token is there, never which."""

    cache: Path
    exists: bool
    offline: bool
    token: bool
    endpoint: str


@dataclass(frozen=True, slots=True)
class Machine:
    """All of it. `memory` and `available` are bytes, None where the system does not tell; `gpus` in words."""

    python: str
    system: str
    cores: int
    memory: int | None
    available: int | None
    packages: tuple[tuple[str, str | None], ...]
    gpus: tuple[str, ...]
    folder: Folder
    hub: Hub


def inspect_machine(folder: Path) -> Machine:
    """Everything, with `folder` as the place where stacks would be written; StorageError when nothing can be there."""
    memory = _memory()
    return Machine(
        python=f"{platform.python_version()} ({sys.executable})",
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cores=len(os.sched_getaffinity(0)),
        memory=memory.get("MemTotal"),
        available=memory.get("MemAvailable"),
        packages=tuple((name, _version(name)) for name in (*PACKAGES, *FOR_DEVICES)),
        gpus=_gpus(),
        folder=inspect_folder(folder),
        hub=_hub(),
    )


def inspect_folder(folder: Path) -> Folder:
    """Each way of copying tried on a small file, which is gone afterwards."""
    if not folder.is_dir():
        raise StorageError.of("there is no such folder", "", Mark(str(folder)))
    with explain_errors(folder), tempfile.NamedTemporaryFile(dir=folder, prefix=".stacker-doctor-") as source:
        source.write(os.urandom(_TRIAL))
        source.flush()
        return Folder(
            folder.absolute(),
            _filesystem(folder),
            count_free_bytes(folder),
            can_clone(Path(source.name), folder),
            _works(lambda: _copy_in_kernel(source.fileno(), folder)),
            _works(lambda: _write_past_cache(folder)),
            _works(lambda: _keep_a_hole(folder)),
        )


def _works(attempt: Callable[[], bool]) -> bool:
    try:
        return attempt()
    except OSError:
        return False


def _copy_in_kernel(source: int, folder: Path) -> bool:
    with tempfile.TemporaryFile(dir=folder) as target:
        return os.copy_file_range(source, target.fileno(), _TRIAL, 0, 0) > 0


def _write_past_cache(folder: Path) -> bool:
    with tempfile.TemporaryFile(dir=folder) as target, Writer(target.fileno()) as writer:
        return writer.write_blocks(memoryview(mmap.mmap(-1, _TRIAL)), 0)


def _keep_a_hole(folder: Path) -> bool:
    with tempfile.TemporaryFile(dir=folder) as target:
        os.ftruncate(target.fileno(), _TRIAL)
        return not find_data_runs(target.fileno(), 0, _TRIAL)


def _filesystem(folder: Path) -> str:
    """The type of the filesystem, as the mount table has it for the longest mount point above the folder."""
    place = str(folder.resolve())
    best, kind = "", "unknown"
    try:
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return kind
    for line in lines:
        _, mount, name, *_ = line.split(" ")
        above = place == mount or place.startswith(mount.rstrip("/") + "/")
        if above and len(mount) >= len(best):
            best, kind = mount, name
    return kind


def _memory() -> dict[str, int]:
    """Bytes by the names of /proc/meminfo; empty where there is none."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    pairs = (line.split(":") for line in lines)
    return {name: int(value.split()[0]) * 1024 for name, value in pairs}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _gpus() -> tuple[str, ...]:
    """The GPUs that nvidia-smi names; none where there is no such program or it fails."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    query = [program, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(line.strip() for line in done.stdout.splitlines() if line.strip())


def _hub() -> Hub:
    from huggingface_hub import constants, get_token

    cache = Path(constants.HF_HUB_CACHE)
    return Hub(cache, cache.is_dir(), constants.HF_HUB_OFFLINE, get_token() is not None, constants.ENDPOINT)
