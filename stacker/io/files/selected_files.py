"""Shows only one checkpoint of a folder or repository that holds several: a GGUF file, or a set of its parts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stacker.formats.gguf_names import list_parts
from stacker.formats.safetensors import Header
from stacker.io.files.repository import Repository
from stacker.progress import Progress

SEPARATOR = ":"
"""Stands between the hub id of a repository and the name of a file in it."""


@dataclass(frozen=True, slots=True)
class SelectedFiles:
    """The file `file` of a repository, with the other parts of its set; other files seem not to exist."""

    repository: Repository
    file: str

    @property
    def source(self) -> str:
        """The path of the file, or the hub id and the file's name."""
        inner = self.repository
        return f"{inner.source}{'/' if inner.revision is None else SEPARATOR}{self.file}"

    @property
    def revision(self) -> str | None:
        """The commit, if the repository is on the hub."""
        return self.repository.revision

    def list_names(self) -> tuple[str, ...]:
        """The parts of the file that exist."""
        known = set(self.repository.list_names())
        return tuple(name for name in list_parts(self.file) if name in known)

    def read(self, name: str, limit: int) -> bytes:
        """As `Repository.read`."""
        return self.repository.read(name, limit)

    def read_header(self, name: str) -> Header:
        """As `Repository.read_header`."""
        return self.repository.read_header(name)

    def find_path(self, name: str) -> Path | None:
        """As `Repository.find_path`."""
        return self.repository.find_path(name)

    def fetch(self, name: str, progress: Progress) -> Path:
        """As `Repository.fetch`."""
        return self.repository.fetch(name, progress)
