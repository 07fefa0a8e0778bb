"""Reads and writes the journal of an unfinished output: which tasks are done, and how to check what they have written.

Each line of the journal is a CRC and a JSON object. Reading stops at the first line that a crash cut off or damaged.
"""

from __future__ import annotations

import json
import os
import re
import stat
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any, Self

from stacker.formats.safetensors import FileStamp, RemoteStamp, Stamp
from stacker.io.files.paths import exists, is_link

JOURNAL = ".journal"
_FORMAT = 2
_MAX_BYTES = 1 << 30
"""The largest journal that is read; a stack of a thousand shards has a journal of a few megabytes."""
_KEY = b'{"stacker":'
"""How the first line of every journal goes on after its CRC."""


@dataclass(frozen=True, slots=True)
class Record:
    """The content of a journal: the plan's id and summary, and what earlier runs have written.

    `files` has the names of all files that these runs may have made, `shards` maps each shard that exists to its size
    in bytes, and `pid` is the id of the last process that wrote the journal. `done` maps the id of each finished task
    to the digest of the bytes it wrote ("" for bytes copied on this machine), and `donors` the path or address of each
    donor file that these tasks read to the version of the file. `nbytes` is the length of the journal's undamaged part.
    """

    plan_id: str = ""
    summary: Mapping[str, str] = field(default_factory=dict)
    files: frozenset[str] = frozenset()
    pid: int | None = None
    shards: Mapping[str, int] = field(default_factory=dict)
    donors: Mapping[str, Stamp] = field(default_factory=dict)
    done: Mapping[str, str] = field(default_factory=dict)
    nbytes: int = 0


def read_journal(folder: Path) -> Record | None:
    """Read the journal in a folder; None when there is none, or when the file of that name is not a journal.

    A journal whose first line is damaged gives an empty Record. OSError when the journal cannot be read.
    """
    data = _read_file(folder / JOURNAL)
    if data is None:
        return None
    values, nbytes = _parse_lines(data)
    if not values:
        return Record() if _begins_as_journal(data) else None
    try:
        return _make_record(values, nbytes)
    except (AttributeError, KeyError, TypeError, ValueError):  # undamaged lines that stacker did not write
        return None


def _begins_as_journal(data: bytes) -> bool:
    """Whether a file is a journal whose first line was emptied, zeroed or cut off by a crash."""
    crc, _, text = data.partition(b" ")
    begins = re.fullmatch(rb"[0-9a-f]{0,8}", crc) is not None and _KEY.startswith(text[: len(_KEY)])
    return begins or not data.strip(b"\0")


def _read_file(path: Path) -> bytes | None:
    """Read a regular file; None when there is no file, or a link, a folder, a pipe or too large a file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        if is_link(path) or not exists(path):
            return None
        raise
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_BYTES:
            return None
        with open(fd, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(fd)


def _make_record(values: list[dict[str, Any]], nbytes: int) -> Record:
    """Make the Record of a journal's lines; raises KeyError, TypeError or ValueError for lines of another format."""
    first, *rest = values
    if first["stacker"] != _FORMAT:
        raise ValueError("the journal has another format")
    files, shards, donors, done = set[str](first["shards"]), dict[str, int](), dict[str, Stamp](), dict[str, str]()
    pid: int | None = None
    for value in rest:
        pid = value.get("pid", pid)
        files.update(value.get("files", ()))
        shards |= value.get("made", {})
        donors |= {place: parse_stamp(stamp) for place, stamp in value.get("donors", {}).items()}
        done |= value.get("done", {})
        for name in value.get("lost", ()):
            shards.pop(name, None)
        for task in value.get("undone", ()):
            done.pop(task, None)
    return Record(first["plan"], first["summary"], frozenset(files), pid, shards, donors, done, nbytes)


def parse_stamp(fields: list[Any]) -> Stamp:
    """The version of a donor's file, from the list in which JSON holds it."""
    return RemoteStamp(*fields) if isinstance(fields[0], str) else FileStamp(*fields)


def _parse_lines(data: bytes) -> tuple[list[dict[str, Any]], int]:
    """Parse the lines of a journal up to the first damaged line.

    Returns the JSON values of these lines and how many bytes the lines take.
    """
    values: list[dict[str, Any]] = []
    nbytes = 0
    for line in data.splitlines(keepends=True):
        crc, _, text = line[:-1].partition(b" ")
        if not line.endswith(b"\n") or crc != _crc(text):
            break
        try:
            values.append(json.loads(text))
        except (ValueError, RecursionError):  # an undamaged line that stacker did not write
            break
        nbytes += len(line)
    return values, nbytes


def _crc(text: bytes) -> bytes:
    return b"%08x" % zlib.crc32(text)


class Journal:
    """A journal file that is open for appending; methods raise OSErrors.

    Lines survive a crash only once `sync` has returned.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    def begin(cls, folder: Path, plan_id: str, summary: Mapping[str, str], shards: Iterable[str]) -> Self:
        """Make a new journal in `folder`, whose first line names the plan and its `shards`, and sync it."""
        journal = cls.resume(folder, 0)
        first = {"stacker": _FORMAT, "plan": plan_id, "summary": dict(summary), "shards": list(shards)}
        journal._write(first)
        journal.sync()
        return journal

    @classmethod
    def resume(cls, folder: Path, keep: int) -> Self:
        """Open the journal in `folder`, or create it, and delete everything after its first `keep` bytes."""
        fd = os.open(folder / JOURNAL, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        os.ftruncate(fd, keep)
        return cls(fd)

    def note_process(self) -> None:
        """Append the id of this process."""
        self._write({"pid": os.getpid()})

    def note_files(self, names: Iterable[str]) -> None:
        """Append the names of files other than shards that will be made."""
        self._write({"files": list(names)})

    def note_done(self, made: Mapping[str, int], donors: Mapping[str, Stamp], done: Mapping[str, str]) -> None:
        """Append finished tasks, the shards `made` (name to size), and the donor files read; see Record."""
        stamps = {place: astuple(stamp) for place, stamp in donors.items()}
        self._write({"made": dict(made), "donors": stamps, "done": dict(done)})

    def note_lost(self, shards: Iterable[str], tasks: Iterable[str]) -> None:
        """Append that these shards no longer count as existing, and these tasks no longer as done."""
        self._write({"lost": list(shards), "undone": list(tasks)})

    def _write(self, value: Mapping[str, Any]) -> None:
        text = json.dumps(value, separators=(",", ":")).encode()
        data = b"%s %s\n" % (_crc(text), text)
        while data:
            data = data[os.write(self._fd, data) :]

    def sync(self) -> None:
        """Make sure that all lines written so far survive a crash."""
        os.fsync(self._fd)

    def close(self) -> None:
        """Close the journal's file."""
        os.close(self._fd)
