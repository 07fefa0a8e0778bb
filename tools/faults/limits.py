"""Builds where the machine gives too little: disks of every size, and limits of files, descriptors and memory."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from tools.faults.attempts import Place, clear, find_fault, find_later_fault, read_content, run
from tools.faults.rows import Row, make_row
from tools.faults.scenes import BLENDS, COPIES, Scene, open_scene

_KB, _MB = 1 << 10, 1 << 20
_ENOUGH = 64 * _MB
_SIZES = range(0, 256 * _KB, 4 * _KB)
"""Bytes that are free on a disk, or that a file may have; the outputs take less than the largest."""
_DESCRIPTORS = range(4, 68)
_MEMORY = range(60 * _MB, 1_200 * _MB, 20 * _MB)
"""Bytes of address space; the largest is enough for a build that computes."""
_SCENES = (Scene("copies", COPIES), Scene("blends", BLENDS))


def try_limits(folder: Path) -> Iterator[Row]:
    """A disk that fills, and limits of the process, from too little to enough."""
    for number, scene in enumerate(_SCENES):
        with open_scene(scene, folder / str(number)) as place:
            yield _fill_disks(scene, place)
            yield _limit(scene, place, "files may have so many bytes", resource.RLIMIT_FSIZE, _SIZES)
            yield _limit(scene, place, "so many open files", resource.RLIMIT_NOFILE, _DESCRIPTORS)
            yield _limit(scene, place, "so much address space", resource.RLIMIT_AS, _MEMORY)


def _fill_disks(scene: Scene, place: Place) -> Row:
    """Build on filesystems in memory of every size, and then with room on each of them."""
    attack = f"a disk of {_SIZES[1] // _KB} to {_SIZES[-1] // _KB} kB"
    disk = Place(place.folder / "disk", ("build", "../stack.yml", *place.words[2:]), {})
    try:
        with _mounted(disk.folder, _ENOUGH):
            run(disk.folder, disk.words)
            disk = replace(disk, right=read_content(disk.out) or {})
        return make_row(scene.name, attack, [_fill_disk(disk, size) for size in _SIZES[1:]])
    except subprocess.CalledProcessError:
        return make_row(scene.name, f"{attack}: not tried, because it takes the right to mount", [])


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


def _limit(scene: Scene, place: Place, what: str, kind: int, values: range) -> Row:
    """Build with each of these limits, and then without one."""
    found = [_try_limit(place, partial(_set_limit, kind, value)) for value in values]
    return make_row(scene.name, f"{what}: {values[0]:,} to {values[-1]:,}", found)


def _try_limit(place: Place, limit: Callable[[], None]) -> str:
    clear(place.folder)
    ended = run(place.folder, place.words, limit)
    return find_fault(place, ended) or find_later_fault(place)


def _set_limit(kind: int, value: int) -> None:
    resource.setrlimit(kind, (value, resource.getrlimit(kind)[1]))
