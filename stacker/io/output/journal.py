"""Reads and writes the journal of an unfinished output, which lists the tasks whose results are safely on the disk.

Each line of the journal is a CRC and a JSON object. The first line that a crash cut off or damaged is ignored, and so
are all lines after that line.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from stacker.errors import Mark, SpecError
from stacker.io.disk.storage import explain_errors

JOURNAL = ".journal"


@dataclass(frozen=True, slots=True)
class Record:
    """The content of a journal: the plan's id and summary, and what earlier runs have written.

    `pid` is the id of the last process that wrote the journal, `shards` maps each shard's name to its size in bytes,
    and `done` is the ids of the tasks that are done. `nbytes` is the length of the journal's undamaged part.
    """

    plan_id: str = ""
    summary: Mapping[str, str] = field(default_factory=dict)
    pid: int | None = None
    shards: Mapping[str, int] = field(default_factory=dict)
    done: frozenset[str] = frozenset()
    nbytes: int = 0


def read_journal(folder: Path) -> Record | None:
    """Read the journal in a folder; None when the folder has no journal. OSError when the journal cannot be read."""
    try:
        data = (folder / JOURNAL).read_bytes()
    except FileNotFoundError:
        return None
    values, nbytes = _parse_lines(data)
    try:
        return _make_record(values, nbytes)
    except (AttributeError, KeyError, TypeError):  # undamaged lines that stacker did not write: none counts
        return Record()


def _make_record(values: list[dict[str, Any]], nbytes: int) -> Record:
    plan: dict[str, Any] = next((value for value in values if "plan" in value), {})
    return Record(
        plan_id=plan.get("plan", ""),
        summary=plan.get("summary", {}),
        pid=next((value["pid"] for value in reversed(values) if "pid" in value), None),
        shards={value["shard"]: value["size"] for value in values if "shard" in value},
        done=frozenset(task for value in values for task in value.get("done", ())),
        nbytes=nbytes,
    )


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
        values.append(json.loads(text))
        nbytes += len(line)
    return values, nbytes


def _crc(text: bytes) -> bytes:
    return b"%08x" % zlib.crc32(text)


class Journal:
    """A journal file that is open for appending; methods raise OSErrors."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    def open(cls, folder: Path, keep: int) -> Self:
        """Open the journal in `folder`, or create it, and delete everything after its first `keep` bytes."""
        fd = os.open(folder / JOURNAL, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        os.ftruncate(fd, keep)
        return cls(fd)

    def write(self, values: Iterable[Mapping[str, Any]]) -> None:
        """Append a line for each value; the lines survive a crash only once `sync` has returned."""
        texts = [json.dumps(value, separators=(",", ":")).encode() for value in values]
        data = b"".join(b"%s %s\n" % (_crc(text), text) for text in texts)
        while data:
            data = data[os.write(self._fd, data) :]

    def sync(self) -> None:
        """Make sure that all lines written so far survive a crash."""
        os.fsync(self._fd)

    def close(self) -> None:
        """Close the journal's file."""
        os.close(self._fd)


def prepare_folder(partial: Path, plan_id: str, summary: Mapping[str, str], *, restart: bool) -> Record:
    """Read the journal that an earlier run of this plan left in `partial`; if none can be resumed, empty that folder.

    The result is an empty Record when the folder was emptied, which `restart` always does. Without `restart`, SpecError
    when the folder contains other files or another plan's work.
    """
    with explain_errors(partial, "read the journal"):
        record = read_journal(partial)
        foreign = record is None and any(partial.iterdir())
    if not restart:
        if foreign:
            message = "this folder is in the way, and it is not the unfinished work of a build"
            raise SpecError.of(message, "move it away, or drop it with --restart", Mark(str(partial)))
        if record and record.plan_id == plan_id and _has_all_shards(partial, record):
            return record
        if record and record.done and record.plan_id != plan_id:
            raise _make_other_plan_error(partial, record.summary, summary)
    _empty(partial)
    return Record()


def _has_all_shards(partial: Path, record: Record) -> bool:
    """Whether every shard that the journal lists still exists at its full size."""
    try:
        return all((partial / name).lstat().st_size == size for name, size in record.shards.items())
    except OSError:
        return False


def _make_other_plan_error(partial: Path, old: Mapping[str, str], new: Mapping[str, str]) -> SpecError:
    changes = [
        f"{key}: {old.get(key, '-')} there, {new.get(key, '-')} now"
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]
    what = "; ".join(changes) or "the spec, the donors' files or the version of stacker have changed since"
    hint = "finish that build with its own spec, or drop it with --restart"
    return SpecError.of(f"another plan's unfinished work is here ({what})", hint, Mark(str(partial)))


def _empty(folder: Path) -> None:
    with explain_errors(folder, "empty this folder"):
        for entry in folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
