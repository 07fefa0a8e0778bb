"""The folder `OUT.parts`, in which several processes or machines write parts of one output at the same time.

OUT.parts/00001-00004/          shards 1 to 4, finished
OUT.parts/00005-00008.partial/  shards that are being written: locked, with a journal, as `OUT.partial` is
OUT.parts/checkpoint/           all files but the shards, which are moved there when the output is committed
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from stacker.errors import Blame, Mark, Problem, Severity, StorageError, UnsafeError
from stacker.formats.json_object import format_json
from stacker.formats.safetensors import Stamp
from stacker.io.disk.direct import write_all
from stacker.io.disk.storage import explain_errors
from stacker.io.files.paths import exists, is_folder, is_link, list_folder
from stacker.io.files.regular_files import read_stored
from stacker.io.output.journal import Record, parse_stamp, read_journal
from stacker.io.output.partial_folder import check_owner, check_owners
from stacker.io.output.placing import finish_quietly, move_into_place, sync_folder

RECORD = "part.json"
"""The file in a finished part that says which plan it belongs to."""
_CHECKPOINT = "checkpoint"
_PART = re.compile(r"\d{5,}-\d{5,}")


@dataclass(frozen=True, slots=True)
class FinishedPart:
    """A finished part: its folder, the id of its plan, and the SHA-256 of its shards by name, if computed.

    `done` and `donors` are what Record says of its tasks.
    """

    folder: Path
    plan_id: str
    digests: Mapping[str, str]
    done: Mapping[str, str]
    donors: Mapping[str, Stamp]


def find_parts_folder(out: Path) -> Path:
    """The folder with the parts of the output `out`, which need not exist."""
    whole = Path(os.path.abspath(out))  # noqa: PTH100 - resolve() would follow a link at OUT
    return whole.with_name(f"{whole.name}.parts")


def find_checkpoint_folder(parts: Path) -> Path:
    """The folder inside `parts` in which the output is put together."""
    return parts / _CHECKPOINT


def make_parts_folder(parts: Path) -> None:
    """Create the folder for parts if it does not exist; UnsafeError if others could change what is in it."""
    if is_link(parts):
        raise UnsafeError.of("this folder of parts is a link", "move it away", Mark(str(parts)))
    with explain_errors(parts, "make this folder"):
        parts.mkdir(0o755, parents=True, exist_ok=True)
    check_owners([parts])


def write_checkpoint_files(parts: Path, files: Mapping[str, bytes]) -> None:
    """Write the files beside the shards, unless another process has done so; they appear together."""
    place = find_checkpoint_folder(parts)
    own = parts / f"{_CHECKPOINT}.{socket.gethostname()}-{os.getpid()}"
    with explain_errors(own):
        shutil.rmtree(own, ignore_errors=True)
        own.mkdir(0o755)
        for name, data in files.items():
            _write_file(own / name, data)
        for folder in {(own / name).parent for name in files}:
            sync_folder(folder)
        try:
            own.rename(place)
        except OSError:
            shutil.rmtree(own)
            if not is_folder(place):
                raise
        sync_folder(parts)


def _write_file(path: Path, data: bytes) -> None:
    path.parent.mkdir(0o755, exist_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        write_all(fd, data, 0)
        os.fsync(fd)
    finally:
        os.close(fd)


def make_record(plan_id: str, digests: Mapping[str, str], unfinished: Path) -> dict[str, bytes]:
    """The file that marks a part of the plan `plan_id` as finished; it has what the journal in `unfinished` says."""
    with explain_errors(unfinished, "read the journal"):
        record = read_journal(unfinished) or Record()
    donors = {place: astuple(stamp) for place, stamp in record.donors.items()}
    return {RECORD: format_json({"plan": plan_id, "sha256": digests, "done": record.done, "donors": donors})}


def read_part(folder: Path) -> FinishedPart | None:
    """The finished part in a folder; None if there is none. StorageError when its record is damaged."""
    path = folder / RECORD
    if not exists(folder):
        return None
    try:
        record = json.loads(read_stored(path))
        donors = {place: parse_stamp(stamp) for place, stamp in record["donors"].items()}
        return FinishedPart(folder, str(record["plan"]), dict(record["sha256"]), dict(record["done"]), donors)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        hint = "write this part again, with --restart"
        raise StorageError.of(f"the record of this part is damaged: {error}", hint, Mark(str(path))) from error


def list_parts(parts: Path) -> list[FinishedPart]:
    """The finished parts, by the numbers of their shards."""
    names = sorted(name for name in list_folder(parts) if _PART.fullmatch(name))
    found = [read_part(parts / name) for name in names]
    for part in found:
        if part:
            check_owner(part.folder)
    return [part for part in found if part]


def list_unfinished(parts: Path) -> list[str]:
    """The names of the parts that are being written, or were interrupted."""
    names = (name.removesuffix(".partial") for name in list_folder(parts) if name.endswith(".partial"))
    return sorted(name for name in names if _PART.fullmatch(name))


def gather_shards(checkpoint: Path, found: Mapping[str, Path]) -> None:
    """Move shards, by name, into the folder `checkpoint`; a shard that is there already stays."""
    for name, path in found.items():
        with explain_errors(path, "move this shard"):
            path.rename(checkpoint / name)
    with explain_errors(checkpoint):
        sync_folder(checkpoint)


def close_parts(parts: Path, out: Path, *, force: bool) -> Sequence[Problem]:
    """Give the checkpoint, which is complete, its name `out`, and delete the folder `parts`; see Output.commit."""
    with explain_errors(out, "rename the output"):
        old = move_into_place(find_checkpoint_folder(parts), out, force=force)
    problems = list(finish_quietly(out, old))
    try:
        shutil.rmtree(parts)
    except OSError as error:
        message = f"the output is complete, but its parts cannot be deleted: {error.strerror}"
        problems.append(Problem(message, "", Mark(str(parts)), Severity.WARNING, Blame.STORAGE))
    return [replace(problem, severity=Severity.WARNING) for problem in problems]
