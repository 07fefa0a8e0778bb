"""Opens an output that stacker wrote: finds its lock, beside the shards or inside a GGUF file, and its plan."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stacker.core.plan.documents import format_lock
from stacker.core.plan.packing import LOCK_KEY
from stacker.core.plan.plan import Plan
from stacker.core.plan.plan_json import DIGESTS, LOCK, check_plan, hash_plan, plan_from_json
from stacker.errors import Mark, SpecError, StackerError, VerifyError
from stacker.formats.gguf import encode_entry
from stacker.formats.gguf_names import SUFFIX, list_parts
from stacker.formats.json_object import format_json
from stacker.io.disk.direct import write_all
from stacker.io.disk.storage import explain_errors, make_storage_error
from stacker.io.donors.gguf import read_range
from stacker.io.files.headers import read_header
from stacker.io.files.paths import exists, is_folder
from stacker.io.files.regular_files import read_stored
from stacker.io.output.journal import JOURNAL
from stacker.io.output.placing import replace_file

REPAIR = "build the stack again, or restore the file"


@dataclass(frozen=True, slots=True)
class Written:
    """An output: the content of its lock, its plan with the names of its files, and the folder of these files.

    `path` is the file that has the lock, at bytes `room` (offset, number of bytes); the whole file if that is None.
    """

    lock: dict[str, Any]
    plan: Plan
    folder: Path
    path: Path
    room: tuple[int, int] | None = None

    def digests(self) -> dict[str, str]:
        """The SHA-256 of each file in the lock, by its present name; empty if there are none."""
        stated = self.lock.get(DIGESTS) or {}
        names = [shard["name"] for shard in self.lock["plan"]["shards"]] if stated else []
        return {shard.name: stated[name] for shard, name in zip(self.plan.shards, names, strict=False)}

    def write_digests(self, digests: Mapping[str, str]) -> None:
        """Store the SHA-256 of each file, given by its present name; StorageError if that fails."""
        names = [shard["name"] for shard in self.lock["plan"]["shards"]]
        stated = {name: digests[shard.name] for shard, name in zip(self.plan.shards, names, strict=True)}
        self._replace_lock({**self.lock, DIGESTS: stated})

    def _replace_lock(self, lock: dict[str, Any]) -> None:
        if self.room is None:
            replace_file(self.path, format_json(lock))
            return
        at, room = self.room
        text = format_lock(lock, str(lock.get("stacker.yml", "")).encode())
        if len(text) > room:
            raise VerifyError.of("there is no room for the digests in this file", "", Mark(str(self.path)))
        with explain_errors(self.path):
            fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
            try:
                write_all(fd, text.ljust(room), at)
                os.fsync(fd)
            finally:
                os.close(fd)


def open_written(out: Path) -> Written:
    """Open the output at `out`: SpecError if there is none, VerifyError if its lock is damaged.

    StorageError when it cannot be read.
    """
    unfinished = out if exists(out) or not out.name else out.with_name(f"{out.name}.partial")
    if exists(unfinished / JOURNAL):
        hint = "the command that began it goes on with it: stacker build SPEC OUT"
        raise SpecError.of("this output is not finished", hint, Mark(str(unfinished)))
    if not exists(out):
        raise SpecError.of("there is no such folder", "name a folder written by stacker build", Mark(str(out)))
    in_file = out.name.endswith(SUFFIX) and not is_folder(out)
    path = out.with_name(list_parts(out.name)[0]) if in_file else out / LOCK
    try:
        text, room = _read_inner_lock(path) if in_file else (read_stored(path), None)
        lock = json.loads(text)
        plan = _parse_plan(lock)
    except FileNotFoundError as error:
        raise SpecError.of("this is not an output of stacker: it has no lock file", "", Mark(str(path))) from error
    except OSError as error:
        raise make_storage_error(error, path, "read the lock file") from error
    except StackerError:
        raise
    except (ValueError, ArithmeticError, LookupError, TypeError, AttributeError, RecursionError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise VerifyError.of(f"the lock file is damaged: {reason}", REPAIR, Mark(str(path))) from error
    if not in_file:
        return Written(dict(lock), plan, out, path)
    names = list_parts(path.name)
    if len(names) != len(plan.shards):
        names = tuple(shard.name for shard in plan.shards)
    shards = tuple(replace(shard, name=name) for shard, name in zip(plan.shards, names, strict=True))
    return Written(dict(lock), replace(plan, shards=shards), path.parent, path, room)


def _read_inner_lock(path: Path) -> tuple[bytes, tuple[int, int]]:
    """The lock in the metadata of a GGUF file, and the bytes that it takes up; SpecError if there is none."""
    header = read_header(path)
    entry = next((each for each in getattr(header, "entries", ()) if each.key == LOCK_KEY), None)
    if entry is None or entry.kind != "str":
        raise SpecError.of("this is not an output of stacker: it has no lock", "", Mark(str(path)))
    before = len(encode_entry(LOCK_KEY, "str", ""))
    room = entry.begin + before, entry.nbytes - before
    return read_range(path, *room), room


def _parse_plan(lock: Any) -> Plan:
    """The plan of a lock; ValueError or another exception of broken data if it is damaged."""
    plan = plan_from_json(lock["plan"])
    check_plan(plan)
    _check_digests(plan, lock.get(DIGESTS, {}))
    if hash_plan(lock["plan"]) != lock["plan"]["id"]:
        raise ValueError("its plan is not the one that its id was made from")
    return plan


def _check_digests(plan: Plan, digests: Mapping[str, Any]) -> None:
    """Raise ValueError unless there is a SHA-256 for every shard of the plan, or for none."""
    texts = [str(digest) for digest in digests.values()]
    whole = digests.keys() == {shard.name for shard in plan.shards}
    if digests and not (whole and all(re.fullmatch("[0-9a-f]{64}", text) for text in texts)):
        raise ValueError("its digests do not belong to its shards")
