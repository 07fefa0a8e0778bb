"""Writes an output into object storage: one object for each shard, and the config last, so nobody loads half of it.

Beside the shards, a small object for each says which plan it belongs to and which version was written; an interrupted
build keeps the shards that are still that version. These objects are deleted when the output is complete.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

from stacker.core.plan.plan import Plan, Shard
from stacker.errors import Mark, SpecError, StackerError, StorageError
from stacker.formats.index import INDEX_FILE
from stacker.formats.json_object import format_json
from stacker.formats.safetensors import RemoteStamp, Stamp
from stacker.io.output.journal import parse_stamp
from stacker.io.storage.files import read_stamp
from stacker.io.storage.stores import explain_storage_error, open_writing_store

_CONFIG = "config.json"
_LAST = (INDEX_FILE, _CONFIG)
_RECORDS = ".stacker"
_PART_BYTES = 8 << 20
_SHARE = 9_000
"""The most parts of one object; servers accept 10,000."""
_AT_ONCE = 6


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A shard in storage: its version, its SHA-256, and the versions of the donors' files that it was made from."""

    stamp: RemoteStamp
    sha256: str
    donors: Mapping[str, Stamp]


@dataclass(frozen=True, slots=True)
class StorageTarget:
    """An output at `address`; `uploaded` has the shards that earlier runs of the same plan have written, by name.

    Methods raise StorageErrors.
    """

    address: str
    plan_id: str
    uploaded: Mapping[str, Uploaded] = field(repr=False)

    def upload(self, path: Path, shard: Shard, sha256: str, donors: Mapping[str, Stamp]) -> None:
        """Store the shard in the file `path`, which appears only when it is complete, and note that it was written."""
        size = max(_PART_BYTES, -(-shard.size // _SHARE))
        answer = self._put(shard.name, path, chunk_size=size, max_concurrency=_AT_ONCE)
        stamps = {place: astuple(stamp) for place, stamp in donors.items()}
        stamp = [str(answer["e_tag"]), shard.size]
        record = {"plan": self.plan_id, "stamp": stamp, "sha256": sha256, "donors": stamps}
        self._put(_name_record(shard.name), format_json(record))

    def finish(self, files: Mapping[str, bytes]) -> None:
        """Store the other files, the index and the config last, and delete the notes about the shards."""
        for name in sorted(files, key=lambda name: _LAST.index(name) if name in _LAST else -1):
            self._put(name, files[name])
        store = open_writing_store(self.address)
        records = [meta["path"] for page in self.attempt(lambda: list(store.list(_RECORDS))) for meta in page]
        self.attempt(lambda: store.delete(records))

    def _put(self, name: str, content: Path | bytes, **options: int) -> Any:
        return self.attempt(lambda: open_writing_store(self.address).put(name, content, **options), name)

    def attempt(self, request: Callable[[], Any], name: str = "") -> Any:
        """Make a request about the object `name`, or about the whole output; StorageError when it fails."""
        try:
            return request()
        except StackerError:
            raise
        except Exception as error:
            place = f"{self.address}/{name}" if name else self.address
            raise explain_storage_error(error, place, StorageError) from error


def _name_record(shard: str) -> str:
    return f"{_RECORDS}/{shard}.json"


def open_target(address: str, plan: Plan) -> StorageTarget:
    """Look what is at an address; SpecError if it has a checkpoint, or anything that no build of this plan wrote."""
    target = StorageTarget(address, plan.id, {})
    store = open_writing_store(address)
    pages = target.attempt(lambda: list(store.list()))
    stored = {str(meta["path"]): read_stamp(meta) for page in pages for meta in page}
    names = {shard.name for shard in plan.shards}
    if _CONFIG in stored:
        raise SpecError.of("there is a checkpoint at this address", "delete it, or name another one", Mark(address))
    records = {name: record for name in names & stored.keys() if (record := _read_record(target, name, stored))}
    if stored.keys() & names and not records:
        hint = "delete them, or name another address"
        raise SpecError.of("there are shards at this address that no build of this plan wrote", hint, Mark(address))
    kept = {name: record for name, record in records.items() if record.stamp == stored[name]}
    return StorageTarget(address, plan.id, kept)


def _read_record(target: StorageTarget, shard: str, stored: Mapping[str, RemoteStamp]) -> Uploaded | None:
    """What an earlier run of this plan has noted about a shard; None if there is nothing, or it is of another plan."""
    name = _name_record(shard)
    if name not in stored:
        return None
    store = open_writing_store(target.address)
    try:
        record = json.loads(bytes(target.attempt(lambda: store.get(name).bytes(), name)))
        if record["plan"] != target.plan_id:
            return None
        donors = {place: parse_stamp(stamp) for place, stamp in record["donors"].items()}
        return Uploaded(RemoteStamp(*record["stamp"]), str(record["sha256"]), donors)
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
