"""Unfinished work that is already in an output's folder: taken up, refused, or dropped."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from stacker.errors import Mark, SpecError
from stacker.io.journal import Record, read_journal
from stacker.io.storage import writing


def take_up(partial: Path, plan_id: str, summary: Mapping[str, str], *, restart: bool) -> Record:
    """What of the work in `partial` counts for this plan; the folder is emptied when none of it does.

    SpecError when the folder holds another plan's work or no work at all, unless `restart` lets it go.
    """
    with writing(partial, "read the journal"):
        record = read_journal(partial)
        foreign = record is None and any(partial.iterdir())
    if not restart:
        if foreign:
            message = "this folder is in the way, and it is not the unfinished work of a build"
            raise SpecError.of(message, "move it away, or drop it with --restart", Mark(str(partial)))
        if record and record.plan_id == plan_id and _shards_stand(partial, record):
            return record
        if record and record.done and record.plan_id != plan_id:
            raise _other_plan(partial, record.summary, summary)
    _empty(partial)
    return Record()


def _shards_stand(partial: Path, record: Record) -> bool:
    """Whether every shard that the journal knows is still there at its full size."""
    try:
        return all((partial / name).lstat().st_size == size for name, size in record.shards.items())
    except OSError:
        return False


def _other_plan(partial: Path, old: Mapping[str, str], new: Mapping[str, str]) -> SpecError:
    changes = [
        f"{key}: {old.get(key, '-')} there, {new.get(key, '-')} now"
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]
    what = "; ".join(changes) or "the spec, the donors' files or the version of stacker have changed since"
    hint = "finish that build with its own spec, or drop it with --restart"
    return SpecError.of(f"another plan's unfinished work is here ({what})", hint, Mark(str(partial)))


def _empty(folder: Path) -> None:
    with writing(folder, "empty this folder"):
        for entry in folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
