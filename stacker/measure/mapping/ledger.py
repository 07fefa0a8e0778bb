"""Keeps what has been measured in a file that only grows, so that an interrupted map goes on where it stopped.

A line is a JSON object with one edit and its losses. A line that is incomplete or damaged is measured again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stacker.errors import Mark, StorageError
from stacker.io.files.cache_folder import find_user_cache
from stacker.io.files.regular_files import read_stored


@dataclass(frozen=True, slots=True)
class Ledger:
    """A file of losses; `count` is the number of passages that each entry must have."""

    path: Path
    count: int

    def read(self) -> dict[str, tuple[float, ...]]:
        """The losses of each passage by the name of the edit; empty if there is no file yet."""
        return dict(self._read_lines())

    def _read_lines(self) -> Iterator[tuple[str, tuple[float, ...]]]:
        try:
            lines = read_stored(self.path).decode("utf-8", "replace").splitlines()
        except FileNotFoundError:
            return
        except OSError as error:
            raise _explain(self.path, error) from error
        for line in lines:
            entry = _parse_line(line, self.count)
            if entry is not None:
                yield entry

    def add(self, edit: str, losses: Sequence[float]) -> None:
        """Append one entry with a single write under a lock, so that two programs may fill the same file."""
        line = json.dumps({"edit": edit, "losses": [*losses]}).encode() + b"\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab+") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                if _is_torn(file.fileno()):
                    line = b"\n" + line
                file.write(line)
        except OSError as error:
            raise _explain(self.path, error) from error


def _is_torn(descriptor: int) -> bool:
    """Whether a file does not end with a line end, because a write was interrupted."""
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"


def _parse_line(line: str, count: int) -> tuple[str, tuple[float, ...]] | None:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    edit, losses = content.get("edit"), content.get("losses")
    if not isinstance(edit, str) or not isinstance(losses, list) or len(losses) != count:
        return None
    if not all(isinstance(each, float) and not math.isnan(each) for each in losses):
        return None
    return edit, tuple(losses)


def _explain(path: Path, error: OSError) -> StorageError:
    return StorageError.of(f"cannot keep measurements here: {error.strerror}", "set XDG_CACHE_HOME", Mark(str(path)))


def open_ledger(parts: Mapping[str, object], count: int) -> Ledger:
    """The ledger of a measurement in the user's cache folder; `parts` is everything that its losses depend on."""
    name = hashlib.sha256(json.dumps(dict(parts), sort_keys=True).encode()).hexdigest()
    return Ledger(find_user_cache("probes") / f"{name}.jsonl", count)
