"""The interface to a donor's files, wherever they are, and its implementation for files in a local folder.

Refuses links that lead out of the folder. Knows names, bytes and headers, but no configs or architectures.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stacker.errors import DonorError, Mark, UnsafeError, escape_text
from stacker.formats.safetensors import Header
from stacker.io.files.regular_files import open_regular, read_exactly, read_header
from stacker.progress import Progress, ignore_progress


class Repository(Protocol):
    """A donor's files, by names relative to its folder. Messages call the donor `source`: its folder or its hub id.

    `revision` is the commit if the donor is on the hub, else None. Methods raise DonorError for files that are not
    available, and UnsafeError for links that lead out of the donor's folder.
    """

    @property
    def source(self) -> str: ...

    @property
    def revision(self) -> str | None: ...

    def list_names(self) -> tuple[str, ...]:
        """The names of the donor's files, sorted; files in subfolders may be left out."""
        ...

    def read(self, name: str, limit: int) -> bytes:
        """The content of a file; DonorError when it is longer than `limit` bytes."""
        ...

    def read_header(self, name: str) -> Header:
        """Read the header of a safetensors file, if possible without downloading its weights."""
        ...

    def find_path(self, name: str) -> Path | None:
        """The path of a file on this machine; None when the file would have to be downloaded or does not exist."""
        ...

    def fetch(self, name: str, progress: Progress) -> Path:
        """Download a file if needed, and return its path; `progress` is called with the bytes as they arrive."""
        ...


@dataclass(frozen=True, slots=True)
class FolderRepository:
    """A local folder, such as a saved checkpoint, or the snapshot of the commit `revision` in the hub's cache."""

    folder: Path
    revision: str | None = None

    @property
    def source(self) -> str:
        return str(self.folder)

    def list_names(self) -> tuple[str, ...]:
        try:
            return tuple(sorted(entry.name for entry in os.scandir(self.folder) if not entry.is_dir()))
        except OSError as error:
            message = f"cannot list this folder: {error.strerror}"
            raise DonorError.of(message, "", Mark(self.source)) from error

    def read(self, name: str, limit: int) -> bytes:
        path = self.fetch(name)
        fd = open_regular(path)
        try:
            size = os.fstat(fd).st_size
            if size > limit:
                message = f"the file has {size} bytes; stacker reads at most {limit}"
                raise DonorError.of(message, "", Mark(str(path)))
            return read_exactly(fd, size, 0, path)
        finally:
            os.close(fd)

    def read_header(self, name: str) -> Header:
        return read_header(self.fetch(name))

    def find_path(self, name: str) -> Path | None:
        path = self.folder / name
        if not os.path.lexists(path):
            return None
        _check_inside(path, self.folder)
        return path if path.exists() else None

    def fetch(self, name: str, progress: Progress = ignore_progress) -> Path:  # noqa: ARG002 - nothing to download
        path = self.find_path(name)
        if path is None:
            raise _missing_file(self.folder / name)
        return path


def _missing_file(path: Path) -> DonorError:
    """Make the error for a path at which there is no file, or a link that leads to no file."""
    if path.is_symlink():
        hint = "a download that did not finish leaves such links: fetch the donor again"
        return DonorError.of(
            f"this link leads to '{escape_text(str(path.readlink()))}', which is not there", hint, Mark(str(path))
        )
    return DonorError.of("there is no such file", "", Mark(str(path)))


def _check_inside(path: Path, folder: Path) -> None:
    """Raise an UnsafeError for a link out of the donor's folder, unless it leads into `blobs` of the hub's cache.

    Each repository in that cache has a folder `blobs`, and all repositories share another one.
    """
    if path.parent == folder and not path.is_symlink():
        return
    # Unlike Path.resolve, realpath raises no error for links that lead in a circle.
    root, target = folder.resolve(), Path(os.path.realpath(path))
    repository = root.parent.parent
    blobs = [repository / "blobs", repository.parent / "blobs"] if root.parent.name == "snapshots" else []
    allowed = [root, *blobs]
    if not any(target.is_relative_to(place) for place in allowed):
        message = f"this link leaves the donor's folder: it leads to '{escape_text(str(target))}'"
        raise UnsafeError.of(message, "copy the file into the folder if you trust it", Mark(str(path)))
