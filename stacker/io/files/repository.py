"""Where a donor's files are: a folder here, or elsewhere behind the same four questions.

Knows names, bytes and headers; knows nothing of configs or architectures. Links that leave the donor are refused.
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
    """A donor's files, wherever they are. `source` is what people call it, `revision` the commit of a hub repository.

    Names are relative, as `names` gives them. What cannot be had raises DonorError, what must not be read UnsafeError.
    """

    @property
    def source(self) -> str: ...

    @property
    def revision(self) -> str | None: ...

    def list_names(self) -> tuple[str, ...]:
        """The names of the files, sorted; those in subfolders need not be among them."""
        ...

    def read(self, name: str, limit: int) -> bytes:
        """A small file as a whole; DonorError when it is longer than `limit` bytes."""
        ...

    def read_header(self, name: str) -> Header:
        """The header of a safetensors file, without fetching its weights where that can be avoided."""
        ...

    def find_path(self, name: str) -> Path | None:
        """Where the file lies on this machine now; None when it would have to be fetched."""
        ...

    def fetch(self, name: str, progress: Progress) -> Path:
        """Have the whole file on this machine; where it lies."""
        ...


@dataclass(frozen=True, slots=True)
class FolderRepository:
    """A folder on this machine, such as a saved checkpoint or a snapshot in the hub's cache."""

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

    def fetch(self, name: str, progress: Progress = ignore_progress) -> Path:  # noqa: ARG002 - nothing has to be fetched
        path = self.find_path(name)
        if path is None:
            raise _missing(self.folder / name)
        return path


def _missing(path: Path) -> DonorError:
    if path.is_symlink():
        hint = "a download that did not finish leaves such links: fetch the donor again"
        return DonorError.of(
            f"this link leads to '{escape_text(str(path.readlink()))}', which is not there", hint, Mark(str(path))
        )
    return DonorError.of("there is no such file", "", Mark(str(path)))


def _check_inside(path: Path, folder: Path) -> None:
    """A file must lie in the donor's folder or, where that is a snapshot in a hub cache, in `blobs`.

    There are two: the repository's own, and one beside all repositories for what they share.
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
