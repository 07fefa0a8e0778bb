"""Defines the interface for reading a donor's files, and implements it for a local folder.

Links that lead out of the folder are refused. This module knows names, bytes and headers, but no configs or
architectures.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

from stacker.errors import DonorError, Mark, escape_text
from stacker.formats.safetensors import Header
from stacker.io.files.contained_files import check_contained, open_contained
from stacker.io.files.headers import read_open_header
from stacker.io.files.paths import exists, explain_path, is_link, read_link, read_status
from stacker.io.files.regular_files import read_limited
from stacker.progress import Progress, ignore_progress

_MOST_IN_SUBFOLDER = 1000


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
        """The names of the donor's files, sorted, as paths below the donor's folder.

        Files deeper than one subfolder may be left out.
        """
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
        return tuple(sorted(_list_files(self.folder)))

    def read(self, name: str, limit: int) -> bytes:
        with self.open(name) as fd:
            return read_limited(fd, limit, self.folder / name)

    def read_header(self, name: str) -> Header:
        with self.open(name) as fd:
            return read_open_header(fd, self.folder / name)

    @contextmanager
    def open(self, name: str) -> Iterator[int]:
        """Yield a descriptor of the file `name` for reading; the file is closed at the end of the `with` block."""
        try:
            fd = open_contained(self.folder, name)
        except DonorError:
            self.fetch(name)  # says more about a missing file
            raise
        try:
            yield fd
        finally:
            os.close(fd)

    def find_path(self, name: str) -> Path | None:
        path = self.folder / name
        if read_status(path, DonorError, follow_links=False) is None:
            return None
        check_contained(self.folder, name)
        return path if exists(path, DonorError) else None

    def fetch(self, name: str, progress: Progress = ignore_progress) -> Path:  # noqa: ARG002 - nothing to download
        path = self.find_path(name)
        if path is None:
            raise _missing_file(self.folder / name)
        return path


def _list_files(folder: Path) -> Iterator[str]:
    """Yield the names of the files in `folder` and, as `subfolder/name`, of those in its subfolders.

    Only the first files of a large subfolder are listed. Folders that are hidden or links are listed as if files.
    """
    with explain_path(folder, DonorError):
        for entry in os.scandir(folder):
            if not entry.is_dir() or entry.is_symlink() or entry.name.startswith("."):
                yield entry.name
            else:
                with suppress(OSError):
                    inner = (each.name for each in os.scandir(entry.path) if not each.is_dir())
                    yield from (f"{entry.name}/{name}" for name in islice(inner, _MOST_IN_SUBFOLDER))


def _missing_file(path: Path) -> DonorError:
    """Make the error for a path where there is no file, or only a link to a file that does not exist."""
    if is_link(path, DonorError):
        target = escape_text(str(read_link(path, DonorError)))
        hint = "a download that did not finish leaves such links: fetch the donor again"
        return DonorError.of(f"this link leads to '{target}', which is not there", hint, Mark(str(path)))
    return DonorError.of("there is no such file", "", Mark(str(path)))
