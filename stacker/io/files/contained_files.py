"""Opens files below a donor's folder, and refuses links that lead elsewhere, even if they are made while it opens.

Links into the `blobs` folders of the hub's cache are allowed, because the cache stores every file behind such a link.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stacker.errors import Mark, UnsafeError, escape_text
from stacker.io.files.paths import read_link
from stacker.io.files.regular_files import explain_open_errors, open_regular


def open_contained(folder: Path, name: str) -> int:
    """Open the regular file `name` below `folder` for reading and return its descriptor.

    The file is held without reading it (O_PATH) while its true place is checked, and then that same file is opened, so
    that exchanging a link or the folder has no effect. UnsafeError if the file is not below the folder, DonorError if
    it is missing, a pipe, a device or another special file.
    """
    path = folder / name
    with _hold(path, folder, None) as root, _hold(path, Path(name), root) as held:
        _check_place(_find_true_path(held), _find_true_path(root), path)
        return open_regular(Path(f"/proc/self/fd/{held}"), path)


def check_contained(folder: Path, name: str) -> None:
    """Raise an UnsafeError if a link leads from `name` in `folder` to a place outside of the folder.

    The link may lead to nothing. This check is for early messages; only `open_contained` holds against changes.
    """
    path = folder / name
    with explain_open_errors(path):
        if path.parent == folder and not path.is_symlink():
            return
        # Unlike Path.resolve, realpath raises no error for links that lead in a circle.
        target, root = Path(os.path.realpath(path)), Path(os.path.realpath(folder))
    _check_place(target, root, path)


@contextmanager
def _hold(path: Path, place: Path, base: int | None) -> Iterator[int]:
    """Yield a descriptor that stands for the file or folder `place`, which is relative to the folder descriptor `base`.

    The descriptor cannot be read, and opening it does not affect a pipe or a device. Errors name the file as `path`.
    """
    with explain_open_errors(path):
        fd = os.open(place, os.O_PATH | os.O_CLOEXEC, dir_fd=base)
    try:
        yield fd
    finally:
        os.close(fd)


def _find_true_path(fd: int) -> Path:
    return read_link(Path(f"/proc/self/fd/{fd}"))


def _check_place(target: Path, root: Path, path: Path) -> None:
    """Raise an UnsafeError unless `target` is below `root`, or below a `blobs` folder that belongs to it.

    If `root` is a snapshot in the hub's cache, it may use the blobs of its repository and those that all repositories
    share.
    """
    repository = root.parent.parent
    blobs = (repository / "blobs", repository.parent / "blobs") if root.parent.name == "snapshots" else ()
    if not any(target.is_relative_to(place) for place in (root, *blobs)):
        message = f"this link leaves the donor's folder: it leads to '{escape_text(str(target))}'"
        raise UnsafeError.of(message, "copy the file into the folder if you trust it", Mark(str(path)))
