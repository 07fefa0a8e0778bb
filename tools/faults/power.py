"""Cuts the power at every change of the disk, with a filesystem that forgets what was not synced."""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tools.faults.attempts import Ended, Place, find_fault, find_later_fault, read_content, run
from tools.faults.disk_changes import Change, Survives, Sync, put_on_disk, rebuild
from tools.faults.recorder import record_changes
from tools.faults.rows import NotPossibleError, Trial
from tools.faults.scenes import BLENDS, COPIES, Scene, in_scene

_DISK = "disk"


@dataclass(frozen=True, slots=True)
class _Recording:
    """A build on a recorded disk: all changes of the disk, and how many of them were there before the build."""

    changes: Sequence[Change]
    before: int


_SCENES = (
    Scene("copies", COPIES),
    Scene("blends", BLENDS),
    Scene("`--force` over a checkpoint", COPIES, ("--force",)),
    Scene("digests in the lock file", COPIES, ("--digests",)),
)


def _survive_at_random(number: int) -> Survives:
    source = random.Random(number)
    return lambda: source.random() < source.choice((0.1, 0.5, 0.9))


SURVIVING: dict[str, Callable[[int], Survives]] = {
    "nothing else survives": lambda _: lambda: False,
    "some of the rest survives": _survive_at_random,
}
"""What survives a power cut beside what was synced; the functions take the number of the cut."""


def cut_power(folder: Path) -> Iterator[Trial]:
    """A power cut after each change that builds make on a disk."""
    for scene in _SCENES:
        for what, survive in SURVIVING.items():
            attack = f"a power cut after each change of the disk; {what}"
            attempt = partial(_cut_everywhere, scene, survive)
            yield Trial(scene.name, attack, partial(in_scene, scene, folder / "scene", attempt))


def _cut_everywhere(scene: Scene, survive: Callable[[int], Survives], place: Place) -> Iterator[str]:
    try:
        disk, recording = _record(place, old=place.folder / "b" if "--force" in scene.words else None)
    except OSError as error:
        raise NotPossibleError(f"FUSE cannot be used ({error})") from error
    for at in range(recording.before, len(recording.changes) + 1):
        yield _cut(disk, recording, at, survive(at))


def _record(place: Place, old: Path | None) -> tuple[Place, _Recording]:
    """Build on a recorded disk, where `old` is a checkpoint that is safely there before; returns the place, and how."""
    where = place.folder / _DISK
    disk = replace(place, folder=where, words=("build", "../stack.yml", *place.words[2:]))
    with record_changes(where) as prepared:
        _put_old(old, disk.out)
    with record_changes(where) as changes:
        _put_old(old, disk.out)
        ended = run(disk.folder, disk.words)
        disk = replace(disk, right=read_content(disk.out) or {}, old=read_content(old) if old else None)
    if ended.code:
        raise RuntimeError(f"{place.folder}: the build on a recorded disk ends with {ended.code}:\n{ended.text}")
    syncs = [Sync(inode) for inode in {change.inode for change in prepared}]
    return disk, _Recording([*prepared, *syncs, *changes[len(prepared) :]], len(prepared) + len(syncs))


def _put_old(old: Path | None, out: Path) -> None:
    if old:
        shutil.copytree(old, out)


def _cut(disk: Place, recording: _Recording, at: int, survives: Survives) -> str:
    """What is wrong after a power cut behind the first `at` changes, or with the same build afterwards."""
    shutil.rmtree(disk.folder, ignore_errors=True)
    disk.folder.mkdir()
    put_on_disk(rebuild(recording.changes[:at], survives), disk.folder)
    if disk.old and not disk.out.exists():
        return f"change {at}: what stood there before is gone"
    is_over = at == len(recording.changes)
    ended = Ended(0 if is_over else -signal.SIGKILL, "")
    wrong = find_fault(disk, ended, killed=True) or find_later_fault(disk)
    return f"change {at} ({_describe(recording, at)}): {wrong}" if wrong else ""


def _describe(recording: _Recording, at: int) -> str:
    """The kinds of the changes before and after a power cut."""
    return " | ".join(type(change).__name__ for change in recording.changes[max(at - 1, 0) : at + 1])
