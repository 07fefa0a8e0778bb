"""A file of JSON lines that only grows, from which an interrupted search or sweep goes on.

The first line, the head, says what is measured. A last line that is incomplete is dropped.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stacker.errors import LockedError, Mark, SpecError
from stacker.io.disk.storage import explain_errors
from stacker.io.files.regular_files import read_stored


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of journal, such as `search`; the head has its `version` under its name."""

    name: str
    version: int


@dataclass(frozen=True, slots=True)
class Lines:
    """What a journal says: its head, the lines after it, and the length in bytes of all complete lines."""

    head: Mapping[str, Any]
    entries: tuple[Mapping[str, Any], ...] = ()
    whole: int = 0


@dataclass
class Journal:
    """A journal that is open for writing; the file is locked until it is closed."""

    path: Path
    _file: Any = field(repr=False)

    def add(self, line: Mapping[str, Any]) -> None:
        """Append a line; StorageError if that fails."""
        with explain_errors(self.path):
            self._file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
            self._file.flush()

    def close(self) -> None:
        """Close the file, which also unlocks it."""
        self._file.close()


def read_lines(path: Path, kind: Kind) -> Lines:
    """Read a journal; SpecError if it is none of this kind, StorageError if it cannot be read."""
    with explain_errors(path, "read"):
        data = read_stored(path)
    whole = data.rfind(b"\n") + 1
    lines = [*_parse_lines(data[:whole], path)]
    if not lines or lines[0].get(kind.name) != kind.version:
        hint = f"name the file that `stacker {kind.name} --log` has written"
        raise SpecError.of(f"is not the log of a {kind.name}", hint, Mark(str(path)))
    return Lines(lines[0], tuple(lines[1:]), whole)


def _parse_lines(data: bytes, path: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(data.splitlines(), 1):
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise SpecError.of(f"not JSON: {error}", "", Mark(str(path), number)) from error
        if not isinstance(found, dict):
            raise SpecError.of("not a JSON object", "", Mark(str(path), number))
        yield found


def open_journal(path: Path, kind: Kind, head: Mapping[str, Any]) -> tuple[Journal, Lines]:
    """Open the journal at `path` with the lines it has; it is made if it does not exist.

    SpecError if the file has another head, LockedError if another process writes it.
    """
    first = {kind.name: kind.version, **json.loads(json.dumps(dict(head)))}
    with explain_errors(path):
        file = path.open("ab+", buffering=0)
    journal = Journal(path, file)
    try:
        _lock(file, path, kind)
        with explain_errors(path):
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "it is not a regular file")
            is_new = status.st_size == 0
        if is_new:
            journal.add(first)
            return journal, Lines(first)
        lines = read_lines(path, kind)
        _check_head(lines.head, first, path, kind)
        with explain_errors(path):
            file.truncate(lines.whole)
    except BaseException:
        file.close()
        raise
    return journal, lines


def _lock(file: Any, path: Path, kind: Kind) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        hint = "wait for it, or name another --log"
        raise LockedError.of(f"another {kind.name} writes this log", hint, Mark(str(path))) from error


def _check_head(known: Mapping[str, Any], head: Mapping[str, Any], path: Path, kind: Kind) -> None:
    changed = sorted(key for key in {*known, *head} if known.get(key) != head.get(key))
    if changed:
        message = f"the log is of a {kind.name} with another {', '.join(changed)}"
        raise SpecError.of(message, "name a new file with --log, or repeat the earlier command", Mark(str(path)))
