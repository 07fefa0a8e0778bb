"""Defines the interface for reading a donor's files, and implements it for a local folder.

Links that lead out of the folder are refused. This module knows names, bytes and headers, but no configs or
architectures.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stacker.errors import DonorError, Mark, UnsafeError, escape_text
from stacker.formats.safetensors import Header
from stacker.io.files.paths import exists, is_link, read_link, read_status, resolve_links
from stacker.io.files.regular_files import open_regular, read_exactly, read_header
from stacker.progress import Progress, ignore_progress


class Repository(Protocol):
    """A donor's files, in a local folder or on the hub, by names relative to the donor's folder.

    `source` is the folder or the hub id by which messages name the donor, and `revision` is the commit if the donor is
    on the hub, else None. Methods raise DonorError for a file that is not available, and UnsafeError for a link that
    leads out of the donor's folder.
    """

    @property
    def source(self) -> str: ...

    @property
    def revision(self) -> str | None: ...

    def list_names(self) -> tuple[str, ...]:
        """The names of the donor's files, sorted; files in subfolders may be left out."""
        ...

    def read(self, name: str, limit: int) -> bytes:
        """The content of the file `name`; DonorError when the file is longer than `limit` bytes."""
        ...

    def read_header(self, name: str) -> Header:
        """Read the header of the safetensors file `name` without downloading the weights in the file."""
        ...

    def find_path(self, name: str) -> Path | None:
        """The path of a file on this machine; None when the file would have to be downloaded or does not exist."""
        ...

    def fetch(self, name: str, progress: Progress) -> Path:
        """Download the file `name` if it is not on this machine, and return the file's path.

        `progress` is called with the number of bytes that arrived since the last call.
        """
        ...


@dataclass(frozen=True, slots=True)
class FolderRepository:
    """The files of a donor in a local folder.

    The folder is a saved checkpoint (`revision` is None), or the snapshot of the commit `revision` in the hub's cache.
    """

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
        if read_status(path, DonorError, follow_links=False) is None:
            return None
        _check_inside(path, self.folder)
        return path if exists(path, DonorError) else None

    def fetch(self, name: str, progress: Progress = ignore_progress) -> Path:  # noqa: ARG002 - nothing to download
        path = self.find_path(name)
        if path is None:
            raise _missing_file(self.folder / name)
        return path


def _missing_file(path: Path) -> DonorError:
    """Make the error for a path where there is no file, or only a link to a file that does not exist."""
    if is_link(path, DonorError):
        hint = "a download that did not finish leaves such links: fetch the donor again"
        target = escape_text(str(read_link(path, DonorError)))
        return DonorError.of(f"this link leads to '{target}', which is not there", hint, Mark(str(path)))
    return DonorError.of("there is no such file", "", Mark(str(path)))


def _check_inside(path: Path, folder: Path) -> None:
    """Raise an UnsafeError when the file at `path` is reached by a link that leads out of the donor's folder.

    Links into the hub's cache are allowed if they lead into the folder `blobs` of the same repository, or into the
    folder `blobs` that all repositories share.
    """
    if path.parent == folder and not is_link(path, DonorError):
        return
    root, target = resolve_links(folder, DonorError), resolve_links(path, DonorError)
    repository = root.parent.parent
    blobs = [repository / "blobs", repository.parent / "blobs"] if root.parent.name == "snapshots" else []
    allowed = [root, *blobs]
    if not any(target.is_relative_to(place) for place in allowed):
        message = f"this link leaves the donor's folder: it leads to '{escape_text(str(target))}'"
        raise UnsafeError.of(message, "copy the file into the folder if you trust it", Mark(str(path)))
