"""Builds where the machine gives too little: disks of every size, and limits of files, descriptors and memory."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from tools.faults.attempts import Place, clear, find_fault, find_later_fault, read_content, run
from tools.faults.rows import NotPossibleError, Trial
from tools.faults.scenes import BLENDS, COPIES, Scene, in_scene

_KB, _MB = 1 << 10, 1 << 20
_ENOUGH = 64 * _MB
_SIZES = range(0, 256 * _KB, 4 * _KB)
"""Bytes that are free on a disk, or that a file may have; the outputs take less than the largest."""
_DESCRIPTORS = range(4, 68)
_MEMORY = range(60 * _MB, 1_200 * _MB, 20 * _MB)
"""Bytes of address space; the largest is enough for a build that computes."""
_SCENES = (Scene("copies", COPIES), Scene("blends", BLENDS))


_LIMITS = {
    "files may have so many bytes": (resource.RLIMIT_FSIZE, _SIZES),
    "so many open files": (resource.RLIMIT_NOFILE, _DESCRIPTORS),
    "so much address space": (resource.RLIMIT_AS, _MEMORY),
}


def try_limits(folder: Path) -> Iterator[Trial]:
    """A disk that fills, and limits of the process, from too little to enough."""

    def make_trial(scene: Scene, attack: str, attempt: Callable[[Place], Iterable[str]]) -> Trial:
        return Trial(scene.name, attack, partial(in_scene, scene, folder / "scene", attempt))

    for scene in _SCENES:
        yield make_trial(scene, f"a disk of {_SIZES[1] // _KB} to {_SIZES[-1] // _KB} kB", _fill_disks)
        for what, (kind, values) in _LIMITS.items():
            yield make_trial(scene, f"{what}: {values[0]:,} to {values[-1]:,}", partial(_limit, kind, values))


def _fill_disks(place: Place) -> Iterator[str]:
    """Build on filesystems in memory of every size, and then with room on each of them."""
    disk = Place(place.folder / "disk", ("build", "../stack.yml", *place.words[2:]), {})
    try:
        with _mounted(disk.folder, _ENOUGH):
            run(disk.folder, disk.words)
            disk = replace(disk, right=read_content(disk.out) or {})
    except subprocess.CalledProcessError as error:
        raise NotPossibleError("it takes the right to mount") from error
    for size in _SIZES[1:]:
        yield _fill_disk(disk, size)


def _fill_disk(disk: Place, size: int) -> str:
    with _mounted(disk.folder, size):
        ended = run(disk.folder, disk.words)
        wrong = find_fault(disk, ended)
        subprocess.run(["mount", "-o", f"remount,size={_ENOUGH}", disk.folder], check=True)
        return wrong or find_later_fault(disk)


@contextmanager
def _mounted(folder: Path, size: int) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def _limit(kind: int, values: range, place: Place) -> Iterator[str]:
    """Build with each of these limits, and then without one."""
    for value in values:
        wrong = _try_limit(place, partial(_set_limit, kind, value))
        yield f"{value:,}: {wrong}" if wrong else ""


def _try_limit(place: Place, limit: Callable[[], None]) -> str:
    clear(place.folder)
    ended = run(place.folder, place.words, limit)
    return find_fault(place, ended) or find_later_fault(place)


def _set_limit(kind: int, value: int) -> None:
    resource.setrlimit(kind, (value, resource.getrlimit(kind)[1]))
