"""Keeps what has been measured in the user's cache folder, so that nothing is scored twice. Imports no torch.

An entry is found by everything that its values depend on. It appears whole or not at all, and one that is damaged is
measured again.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import astuple, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from stacker.live.forecast.blueprint import Blueprint

Arrays = Mapping[str, np.ndarray]
Entries = Mapping[str, Arrays]
"""Entries of a cache by the text of what they depend on."""
FORMAT = 1
"""Part of every key: raised when what is computed changes, so that older entries are not found any more."""
_PARTS = "parts"
_DAMAGES = (
    OSError, ValueError, EOFError, KeyError, RuntimeError, MemoryError, OverflowError, zipfile.BadZipFile, zlib.error
)  # fmt: skip
"""What reading a damaged entry raises; NotImplementedError is a RuntimeError."""
_PACKAGES = ("torch", "transformers", "tokenizers")


@dataclass(frozen=True, slots=True)
class ScoreCache:
    """Arrays in files below `folder`, by what they depend on; without a folder nothing is kept.

    `added` are entries that another process has measured for this command.
    """

    folder: Path | None
    added: dict[str, Arrays] = field(default_factory=dict, repr=False, compare=False)

    def add(self, entries: Entries) -> None:
        """Keep what CollectedScores of another process have collected: in the folder, and until `forget` in memory."""
        for text, arrays in entries.items():
            self.added[text] = arrays
            self._write(text, arrays)

    def forget(self) -> None:
        """Let go of the entries in memory."""
        self.added.clear()

    def is_new(self, parts: Mapping[str, Any]) -> bool:
        """Whether the entry for `parts` was measured for this command, by another process."""
        return bool(self.added) and _format_parts(parts) in self.added

    def read(self, parts: Mapping[str, Any]) -> Arrays | None:
        """The arrays that were written for `parts`; None if there are none, or if they cannot be read."""
        text = _format_parts(parts)
        if self.folder is None or text in self.added:
            return self.added.get(text)
        try:
            with self._find_path(text).open("rb") as file, np.load(file, allow_pickle=False) as found:
                arrays = {name: found[name] for name in found.files}
        except _DAMAGES:
            return None
        return arrays if str(arrays.pop(_PARTS, "")) == text else None

    def write(self, parts: Mapping[str, Any], arrays: Arrays) -> None:
        """Keep the arrays for `parts`; a folder that cannot be written to is left alone."""
        self._write(_format_parts(parts), arrays)

    def _write(self, text: str, arrays: Arrays) -> None:
        if self.folder is None:
            return
        path = self._find_path(text)
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
                try:
                    np.savez(file, allow_pickle=False, **{_PARTS: np.array(text)}, **arrays)
                    file.close()
                    Path(file.name).replace(path)
                except BaseException:
                    Path(file.name).unlink(missing_ok=True)
                    raise

    def _find_path(self, text: str) -> Path:
        name = hashlib.sha256(text.encode()).hexdigest()
        return Path(str(self.folder)) / name[:2] / f"{name}.npz"


@dataclass(frozen=True, slots=True)
class CollectedScores(ScoreCache):
    """A cache in memory, whose entries are sent to another process."""

    folder: Path | None = None

    def take(self) -> Entries:
        """What has been written since the last call."""
        found = dict(self.added)
        self.added.clear()
        return found

    def write(self, parts: Mapping[str, Any], arrays: Arrays) -> None:
        self.added[_format_parts(parts)] = arrays


def _format_parts(parts: Mapping[str, Any]) -> str:
    packages = {name: version(name) for name in _PACKAGES}
    return json.dumps({**parts, "format": FORMAT, "packages": packages}, sort_keys=True)


def identify_stack(blueprint: Blueprint) -> dict[str, Any]:
    """What tells a stack from all others: the id of its plan, and each donor file with its size, header and version.

    A plan's id knows the headers of the donors' files only; the version tells when other weights were written into one.
    """
    donors = sorted(blueprint.donors.items())
    files = [
        [name, file.name, file.size, file.header, astuple(file.stamp) if file.stamp else None]
        for name, donor in donors
        for file in donor.files
    ]
    return {"plan": blueprint.plan.id, "files": files}
