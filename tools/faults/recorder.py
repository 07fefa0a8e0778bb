"""A filesystem in memory that records every change, mounted by FUSE in a process of its own."""

from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from mfusepy import FUSE, FuseOSError, Operations

from tools.faults.disk_changes import ROOT, Change, Name, Resize, Sync, Write

_EXCHANGE = 2
"""RENAME_EXCHANGE of renameat2(2)."""
_PATIENCE = 10.0
_BLOCK = 4096


class RecordedDisk(Operations):  # type: ignore[misc]  # the library is not annotated
    """Files and folders in memory; `changes` lists what was done to them."""

    use_ns = True

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self._folders: dict[int, dict[str, int]] = {ROOT: {}}
        self._files: dict[int, bytearray] = {}
        self._modes: dict[int, int] = {ROOT: 0o755}

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        inode = self._find(path) if fh is None else fh
        is_folder = inode in self._folders
        size = 0 if is_folder else len(self._files[inode])
        return {
            "st_mode": (stat.S_IFDIR if is_folder else stat.S_IFREG) | self._modes[inode],
            "st_nlink": 2 if is_folder else 1,
            "st_size": size,
            "st_blocks": -(-size // 512),
            "st_uid": os.geteuid(),
            "st_gid": os.getegid(),
            "st_ino": inode + 1,
        }

    def statfs(self, path: str) -> dict[str, int]:
        del path
        free = 1 << 20
        return {"f_bsize": _BLOCK, "f_frsize": _BLOCK, "f_blocks": free, "f_bfree": free, "f_bavail": free}

    def readdir(self, path: str, fh: int) -> list[str]:
        del fh
        return [".", "..", *self._folders[self._find(path)]]

    def mkdir(self, path: str, mode: int) -> int:
        inode = self._add(path, mode)
        self._folders[inode] = {}
        self.changes.append(Name(inode, ()))
        return 0

    def create(self, path: str, mode: int, fi: object = None) -> int:
        del fi
        inode = self._add(path, mode)
        self._files[inode] = bytearray()
        return inode

    def open(self, path: str, flags: int) -> int:
        inode = self._find(path)
        if flags & os.O_TRUNC:
            self.truncate(path, 0, inode)
        return inode

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        del path
        return bytes(self._files[fh][offset : offset + size])

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        del path
        file = self._files[fh]
        file.extend(bytes(max(0, offset + len(data) - len(file))))
        file[offset : offset + len(data)] = data
        self.changes.append(Write(fh, offset, bytes(data)))
        return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        inode = self._find(path) if fh is None else fh
        file = self._files[inode]
        self._files[inode] = file[:length] + bytes(max(0, length - len(file)))
        self.changes.append(Resize(inode, length))
        return 0

    def chmod(self, path: str, mode: int) -> int:
        self._modes[self._find(path)] = stat.S_IMODE(mode)
        return 0

    def utimens(self, path: str, times: object = None) -> int:
        del path, times
        return 0

    def unlink(self, path: str) -> int:
        self._rename_in(path, (PurePosixPath(path).name, None))
        return 0

    def rmdir(self, path: str) -> int:
        if self._folders[self._find(path)]:
            raise FuseOSError(errno.ENOTEMPTY)
        return self.unlink(path)

    def rename(self, old: str, new: str) -> int:
        taken = self._folders[self._find_parent(new)].get(PurePosixPath(new).name)
        if taken is not None and self._folders.get(taken):
            raise FuseOSError(errno.ENOTEMPTY)
        self._check_same_folder(old, new)
        self._rename_in(new, (PurePosixPath(old).name, None), (PurePosixPath(new).name, self._find(old)))
        return 0

    def exchange(self, one: str, other: str) -> int:
        """Exchange two names of one folder."""
        self._check_same_folder(one, other)
        one_inode, other_inode = self._find(one), self._find(other)
        self._rename_in(one, (PurePosixPath(one).name, other_inode), (PurePosixPath(other).name, one_inode))
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        del path, datasync
        self.changes.append(Sync(fh))
        return 0

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        del datasync, fh
        self.changes.append(Sync(self._find(path)))
        return 0

    def _find(self, path: str) -> int:
        inode = ROOT
        for name in PurePosixPath(path).parts[1:]:
            found = self._folders.get(inode, {}).get(name)
            if found is None:
                raise FuseOSError(errno.ENOENT)
            inode = found
        return inode

    def _find_parent(self, path: str) -> int:
        return self._find(str(PurePosixPath(path).parent))

    def _add(self, path: str, mode: int) -> int:
        inode = len(self._modes)
        self._modes[inode] = stat.S_IMODE(mode)
        self._rename_in(path, (PurePosixPath(path).name, inode))
        return inode

    def _rename_in(self, path: str, *names: tuple[str, int | None]) -> None:
        """Change names in the folder of `path`."""
        parent = self._find_parent(path)
        changed = {**self._folders[parent], **dict(names)}
        self._folders[parent] = {name: inode for name, inode in changed.items() if inode is not None}
        self.changes.append(Name(parent, names))

    def _check_same_folder(self, one: str, other: str) -> None:
        if self._find_parent(one) != self._find_parent(other):
            raise FuseOSError(errno.EXDEV)


class _Mount(FUSE):  # type: ignore[misc]  # the library is not annotated
    """Passes the flags of renameat2 on, which the library ignores."""

    def rename_fuse_3(self, old: bytes, new: bytes, flags: int) -> int:
        do = self.operations.exchange if flags & _EXCHANGE else self.operations.rename
        return int(do(os.fsdecode(old), os.fsdecode(new)))


def _serve(folder: Path, log: Path) -> None:
    disk = RecordedDisk()
    _Mount(disk, str(folder), foreground=True, nothreads=True)
    log.write_bytes(pickle.dumps(disk.changes))


@contextmanager
def record_changes(folder: Path) -> Iterator[list[Change]]:
    """Mount an empty recorded disk at `folder`; the list has its changes when it is unmounted again.

    OSError where FUSE cannot be used.
    """
    folder.mkdir(exist_ok=True)
    changes: list[Change] = []
    log = folder.with_name(f"{folder.name}.log")
    server = multiprocessing.get_context("fork").Process(target=_serve, args=(folder, log))
    server.start()
    try:
        end = time.monotonic() + _PATIENCE
        while not folder.is_mount():
            if not server.is_alive() or time.monotonic() > end:
                raise OSError(errno.ENODEV, "FUSE does not mount a filesystem", str(folder))
            time.sleep(0.01)
        yield changes
    finally:
        if folder.is_mount():
            subprocess.run(["umount", folder], check=True)
        server.join(_PATIENCE)
        server.kill()
    changes += pickle.loads(log.read_bytes())
