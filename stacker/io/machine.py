"""Inspects this machine: versions, memory, GPUs, and which ways of copying work in a folder. Never imports torch."""

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
from stacker.io.files.paths import is_folder, resolve_links

PACKAGES = ("numpy", "numba", "ml_dtypes", "huggingface_hub", "pydantic", "typer", "rich")
FOR_LIVE = ("torch", "transformers", "accelerate", "safetensors")
"""Packages that only live stacks and, in the case of torch, builds on a GPU need."""
_TRIAL_BYTES = 1 << 20
"""The size in bytes of the temporary file on which the ways of copying are tried."""


@dataclass(frozen=True, slots=True)
class Folder:
    """Which ways of copying work in the folder `path`: in the kernel, bypassing the page cache, keeping holes.

    `filesystem` is the type of the filesystem, such as `ext4`, and `free` is the free space in bytes. `block` is the
    size in bytes of the blocks that can be cloned, None if cloning does not work.
    """

    path: Path
    filesystem: str
    free: int
    block: int | None
    copies_in_kernel: bool
    writes_past_cache: bool
    keeps_holes: bool


@dataclass(frozen=True, slots=True)
class Hub:
    """The settings of huggingface_hub.

    `cache` is its cache folder, `exists` whether that folder exists, `offline` whether requests are switched off, and
    `token` whether an access token is set. `endpoint` is the URL of the hub.
    """

    cache: Path
    exists: bool
    offline: bool
    token: bool
    endpoint: str


@dataclass(frozen=True, slots=True)
class Machine:
    """The software, processor cores, memory and GPUs of this machine, and what `folder` and the hub's client can do.

    `memory` is the total and `available` the unused memory in bytes, None where unknown. `packages` pairs each name
    with its version (None: not installed), and `gpus` has the name and memory of each GPU as text.
    """

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
    """Describe this machine, and try on a temporary file in `folder` which ways of copying work there.

    StorageError when `folder` does not exist or cannot be written.
    """
    memory = _read_memory()
    return Machine(
        python=f"{platform.python_version()} ({sys.executable})",
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cores=len(os.sched_getaffinity(0)),
        memory=memory.get("MemTotal"),
        available=memory.get("MemAvailable"),
        packages=tuple((name, _find_version(name)) for name in (*PACKAGES, *FOR_LIVE)),
        gpus=_list_gpus(),
        folder=inspect_folder(folder),
        hub=_inspect_hub(),
    )


def inspect_folder(folder: Path) -> Folder:
    """Try on a temporary file in `folder` which ways of copying work there.

    StorageError when `folder` does not exist or cannot be written.
    """
    if not is_folder(folder):
        raise StorageError.of("there is no such folder", "", Mark(str(folder)))
    with explain_errors(folder), tempfile.NamedTemporaryFile(dir=folder, prefix=".stacker-doctor-") as source:
        source.write(os.urandom(_TRIAL_BYTES))
        source.flush()
        return Folder(
            folder.absolute(),
            _find_filesystem(folder),
            count_free_bytes(folder),
            can_clone(Path(source.name), folder),
            _try(lambda: _copies_in_kernel(source.fileno(), folder)),
            _try(lambda: _writes_past_cache(folder)),
            _try(lambda: _keeps_holes(folder)),
        )


def _try(attempt: Callable[[], bool]) -> bool:
    try:
        return attempt()
    except OSError:
        return False


def _copies_in_kernel(source: int, folder: Path) -> bool:
    with tempfile.TemporaryFile(dir=folder) as target:
        return os.copy_file_range(source, target.fileno(), _TRIAL_BYTES, 0, 0) > 0


def _writes_past_cache(folder: Path) -> bool:
    with tempfile.TemporaryFile(dir=folder) as target, Writer(target.fileno()) as writer:
        return writer.write_blocks(memoryview(mmap.mmap(-1, _TRIAL_BYTES)), 0)


def _keeps_holes(folder: Path) -> bool:
    with tempfile.TemporaryFile(dir=folder) as target:
        os.ftruncate(target.fileno(), _TRIAL_BYTES)
        return not find_data_runs(target.fileno(), 0, _TRIAL_BYTES)


def _find_filesystem(folder: Path) -> str:
    """The type of a folder's filesystem, such as `ext4`; `unknown` if /proc/self/mounts cannot be read."""
    place = str(resolve_links(folder))
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


def _read_memory() -> dict[str, int]:
    """The sizes that /proc/meminfo lists, in bytes, by name (such as `MemTotal`); empty if that file cannot be read."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    pairs = (line.split(":") for line in lines)
    return {name: int(value.split()[0]) * 1024 for name, value in pairs}


def read_available_memory() -> int | None:
    """The bytes of memory that programs can still use, as the system estimates them; None if it does not say."""
    return _read_memory().get("MemAvailable")


def read_processor_flags() -> frozenset[str]:
    """The names of the processor's instruction sets as /proc/cpuinfo lists them; empty if it does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    listed = (line.partition(":") for line in lines)
    return next(
        (frozenset(names.split()) for key, _, names in listed if key.strip() in ("flags", "Features")), frozenset()
    )


def _find_version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _list_gpus() -> tuple[str, ...]:
    """The name and memory of each GPU that nvidia-smi lists; empty when nvidia-smi is missing or fails."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    query = [program, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(line.strip() for line in done.stdout.splitlines() if line.strip())


def _inspect_hub() -> Hub:
    from huggingface_hub import constants, get_token

    cache = Path(constants.HF_HUB_CACHE)
    return Hub(cache, is_folder(cache), constants.HF_HUB_OFFLINE, get_token() is not None, constants.ENDPOINT)
