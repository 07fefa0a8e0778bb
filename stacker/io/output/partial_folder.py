"""Prepares `OUT.partial`, the folder of unfinished work: decides whether its content may be used or deleted.

Work of another user is refused, because its bytes could be anything. Files that no build made are never deleted.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePath

from stacker.core.plan.plan import Plan, Shard
from stacker.core.side_files.kinds import is_part_of_checkpoint
from stacker.errors import Mark, SpecError, StorageError, UnsafeError, escape_text
from stacker.io.disk.storage import explain_errors
from stacker.io.files.paths import is_folder, is_link, list_folder
from stacker.io.output.journal import JOURNAL, Record, read_journal
from stacker.io.output.lock import lock_folder


def check_owner(folder: Path) -> None:
    """Raise an UnsafeError if an existing folder, or a file in it, belongs to or can be written by other users."""
    with explain_errors(folder, "look into this folder"):
        check_owners((folder, *sorted(folder.rglob("*"))))


def check_owners(paths: Iterable[Path]) -> None:
    """Raise an UnsafeError if one of the existing files or folders `paths` is another user's, or open to others."""
    for path in paths:
        with explain_errors(path, "look at this file"):
            status = path.lstat()
            if status.st_uid != os.geteuid():
                raise _make_owner_error(path, f"belongs to another user ({_find_user(status.st_uid)})")
            if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not stat.S_ISLNK(status.st_mode):
                raise _make_owner_error(path, "can be written by other users")


def _make_owner_error(path: Path, why: str) -> UnsafeError:
    hint = "drop it with --restart if you may delete it, or choose another output folder"
    return UnsafeError.of(f"this unfinished work {why}, so its content cannot be trusted", hint, Mark(str(path)))


def _find_user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def prepare_folder(partial: Path, plan: Plan, summary: Mapping[str, str], side_files: Collection[str]) -> Record:
    """Read the journal that an earlier run of this plan left in `partial`, and delete all other files of that run.

    If the journal is missing, damaged, or of another plan without finished tasks, all files of builds are deleted and
    the result is an empty Record. SpecError when the folder contains other files or finished tasks of another plan.
    """
    with explain_errors(partial, "read the journal"):
        record = read_journal(partial)
        foreign = sorted(_find_foreign_files(partial, record, plan.shards, side_files))
    if foreign:
        names = ", ".join(f"'{escape_text(name)}'" for name in foreign[:3]) + (" and more" if foreign[3:] else "")
        message = f"this folder is in the way, and it is not the unfinished work of a build: it holds {names}"
        raise SpecError.of(message, "move it away, or drop it with --restart", Mark(str(partial)))
    if record and record.plan_id != plan.id and record.done:
        raise _make_other_plan_error(partial, record.summary, summary)
    kept = record if record and record.plan_id == plan.id else Record()
    with explain_errors(partial, "empty this folder"):
        remove_files(partial, keep={JOURNAL, *kept.shards} if kept.plan_id else ())
    return kept


def _find_foreign_files(
    folder: Path, record: Record | None, shards: Sequence[Shard], side_files: Collection[str]
) -> Iterator[str]:
    """Yield the names of entries that no build made.

    Builds made the files that the journal lists, and files with the size and the header of a shard of this plan. If
    there is such a shard and no undamaged journal, side files and other parts of checkpoints count as made by a build.
    """
    listed = {JOURNAL} if record else set[str]()
    planned = {shard.name: shard for shard in shards if _is_unfinished(folder / shard.name, shard)}
    listed |= record.files if record and record.plan_id else {*planned, *(side_files if planned else ())}
    is_lost = bool(planned) and not (record and record.plan_id)
    subfolders = {str(parent) for name in listed for parent in PurePath(name).parents}
    with explain_errors(folder, "look into this folder"):
        paths = list(folder.rglob("*"))
    for path in paths:
        name = str(path.relative_to(folder))
        kind = path.lstat().st_mode
        if (stat.S_ISREG(kind) and name in listed) or (stat.S_ISDIR(kind) and name in subfolders):
            continue
        is_likely = is_lost and stat.S_ISREG(kind) and is_part_of_checkpoint(name)
        if name not in planned and not is_likely:
            yield name


def _is_unfinished(path: Path, shard: Shard) -> bool:
    """Whether a file is a shard as a build makes it: of the planned size, or empty, and with the planned header."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(status.st_mode) or status.st_size not in (0, shard.size):
        return False
    with path.open("rb") as file:
        header = file.read(len(shard.header))
    return shard.mask_lock(header) == shard.header or not any(header)


def _make_other_plan_error(partial: Path, old: Mapping[str, str], new: Mapping[str, str]) -> SpecError:
    changes = [
        f"{key}: {old.get(key, '-')} there, {new.get(key, '-')} now"
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]
    what = "; ".join(changes) or "the spec, the donors' files or the version of stacker have changed since"
    hint = "finish that build with its own spec, or drop it with --restart"
    return SpecError.of(f"another plan's unfinished work is here ({what})", hint, Mark(str(partial)))


def remove_files(folder: Path, keep: Iterable[str] = ()) -> None:
    """Delete everything in a folder except the entries `keep`; OSError when that fails.

    The journal is deleted last, so that a later run recognises the rest if this one is interrupted.
    """
    kept = set(keep)
    for name in sorted(list_folder(folder), key=lambda name: name == JOURNAL):
        path = folder / name
        if name in kept:
            continue
        if is_folder(path) and not is_link(path):
            shutil.rmtree(path)
        else:
            path.unlink()


def drop_folder(folder: Path) -> None:
    """Delete a folder of unfinished work with all that is in it; LockedError when another process is writing there."""
    if not is_folder(folder) or is_link(folder):
        return
    with lock_folder(folder), explain_errors(folder, "delete this folder"):
        remove_files(folder)
        folder.rmdir()


def remove_folder(partial: Path, parents: Iterable[Path]) -> None:
    """Delete the folder `partial` and then the folders `parents`, in order, up to the first that is not empty.

    Errors are ignored, because they would hide the error that stopped the build.
    """
    with suppress(OSError, StorageError):
        remove_files(partial)
        partial.rmdir()
        for parent in parents:
            parent.rmdir()
