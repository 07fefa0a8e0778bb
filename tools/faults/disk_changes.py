"""Changes of a disk in the order in which they were made, and what is on it after the power was cut.

Only what was synced is sure to survive: a file's bytes and length when the file was synced, the names in a folder when
the folder was. Of later changes of a file any may survive, and of a folder the first few, as on filesystems with a
journal. A change of several names of one folder survives as a whole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = 0
"""The number of the outermost folder."""


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes written to the file `inode` from `offset` on."""

    inode: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Resize:
    """A new length of the file `inode` in bytes."""

    inode: int
    size: int


@dataclass(frozen=True, slots=True)
class Name:
    """New names in the folder `inode`: the number of the file or folder behind each, or None where it is removed."""

    inode: int
    names: tuple[tuple[str, int | None], ...]


@dataclass(frozen=True, slots=True)
class Sync:
    """All earlier changes of the file or folder `inode` are safe."""

    inode: int


Change = Write | Resize | Name | Sync
Survives = Callable[[], bool]
"""Is asked about every change that was not synced."""


def rebuild(changes: Sequence[Change], survives: Survives) -> dict[str, bytes | None]:
    """What is on the disk after these changes and a power cut: the bytes of each file by path; None for a folder."""
    folders = {change.inode for change in changes if isinstance(change, Name)}
    own: defaultdict[int, list[Change]] = defaultdict(list)
    for change in changes:
        own[change.inode].append(change)
    kept = {inode: list(_select(each, survives, in_order=inode in folders)) for inode, each in own.items()}
    return dict(_walk(ROOT, "", kept, {*folders, ROOT}))


def _select(changes: Sequence[Change], survives: Survives, *, in_order: bool) -> Iterator[Change]:
    """Yield the changes of one file or folder that survive."""
    synced = max((number for number, change in enumerate(changes) if isinstance(change, Sync)), default=0)
    yield from changes[:synced]
    for change in changes[synced:]:
        if survives():
            yield change
        elif in_order:
            return


def _walk(
    folder: int, path: str, kept: dict[int, list[Change]], folders: set[int]
) -> Iterator[tuple[str, bytes | None]]:
    """Yield the paths below a folder, each with a file's bytes or with None."""
    for name, inode in find_names(kept.get(folder, ())).items():
        where = f"{path}/{name}" if path else name
        if inode in folders:
            yield where, None
            yield from _walk(inode, where, kept, folders)
        else:
            yield where, find_content(kept.get(inode, ()))


def find_names(changes: Iterable[Change]) -> dict[str, int]:
    """The names in a folder after these changes of it."""
    names: dict[str, int | None] = {}
    for change in changes:
        if isinstance(change, Name):
            names |= dict(change.names)
    return {name: inode for name, inode in names.items() if inode is not None}


def find_content(changes: Iterable[Change]) -> bytes:
    """The bytes of a file after these changes of it."""
    data = bytearray()
    for change in changes:
        match change:
            case Write(_, offset, written):
                data.extend(bytes(max(0, offset + len(written) - len(data))))
                data[offset : offset + len(written)] = written
            case Resize(_, size):
                data = data[:size] + bytes(max(0, size - len(data)))
    return bytes(data)


def put_on_disk(content: dict[str, bytes | None], folder: Path) -> None:
    """Write files and folders into an empty folder."""
    for path, data in content.items():
        if data is None:
            (folder / path).mkdir()
        else:
            (folder / path).write_bytes(data)
