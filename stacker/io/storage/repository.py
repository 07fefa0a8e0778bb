"""Reads a donor in object storage or on a web server: small files and headers by range, whole files into a cache.

A cached file is used as long as the server states the same version of it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from stacker.errors import DonorError, Mark
from stacker.formats.gguf import parse_gguf_header
from stacker.formats.gguf_names import SUFFIX, list_parts
from stacker.formats.index import INDEX_FILE, MAX_INDEX_BYTES, parse_index
from stacker.formats.safetensors import Header, RemoteStamp, parse_header, parse_header_length
from stacker.io.disk.storage import explain_errors
from stacker.io.files.cache_folder import find_user_cache
from stacker.io.files.repository import FolderRepository, Repository
from stacker.io.files.selected_files import SelectedFiles
from stacker.io.ranges.fetching import fetch_range
from stacker.io.storage.files import StoredFile, read_stamp
from stacker.io.storage.stores import NEVER, ask, open_store, split_address
from stacker.progress import Progress, ignore_progress

_FIRST_REQUEST = 256 * 1024
_GGUF_REQUEST = 8 << 20
"""How many bytes of a GGUF file a request asks for: most of these files begin with several MB of tokens."""
_MOST_NAMES = 20_000
_AT_ONCE = 8
_USUAL = (
    *("config.json", "generation_config.json", INDEX_FILE, "model.safetensors"),
    *("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "merges.txt", "chat_template.jinja", "preprocessor_config.json", "processor_config.json"),
    *("LICENSE", "LICENSE.txt", "NOTICE"),
)
"""The files that are looked for on web servers, which do not list theirs."""


@dataclass(frozen=True, slots=True)
class StorageRepository:
    """A donor's files below the address `source`; `stamps` has the version of each file when it was opened.

    `cache` is the folder on this machine into which whole files are fetched.
    """

    source: str
    stamps: Mapping[str, RemoteStamp] = field(repr=False)
    cache: Path

    @property
    def revision(self) -> str | None:
        return None

    def list_names(self) -> tuple[str, ...]:
        return tuple(sorted(self.stamps))

    def read(self, name: str, limit: int) -> bytes:
        size = self._find(name).size
        if size > limit:
            raise DonorError.of(f"the file has {size} bytes; stacker reads at most {limit}", "", self._mark(name))
        return b"".join(fetch_range(self._open(name), 0, size, NEVER))

    def read_header(self, name: str) -> Header:
        if self.find_path(name):
            return self._cached(name).read_header(name)
        size, file = self._find(name).size, self._open(name)
        if name.endswith(SUFFIX):
            return _read_gguf_header(file, size, self._address(name))
        raw = b"".join(fetch_range(file, 0, min(_FIRST_REQUEST, size), NEVER))
        length = parse_header_length(raw[:64], size, self._address(name))
        raw += b"".join(fetch_range(file, len(raw), length, NEVER))
        return parse_header(raw[:length], size, self._address(name))

    def find_path(self, name: str) -> Path | None:
        return self._cached(name).find_path(name) if name in self.stamps else None

    def fetch(self, name: str, progress: Progress = ignore_progress) -> Path:
        size, folder = self._find(name).size, self._cached(name).folder
        path = folder / name
        if self.find_path(name) is None:
            part = path.with_name(f"{path.name}.{os.getpid()}.part")
            with explain_errors(part):
                part.parent.mkdir(parents=True, exist_ok=True)
                try:
                    with part.open("wb") as file:
                        for piece in fetch_range(self._open(name), 0, size, NEVER):
                            file.write(piece)
                            progress(len(piece))
                    part.replace(path)
                finally:
                    part.unlink(missing_ok=True)
        return path

    def _find(self, name: str) -> RemoteStamp:
        if name not in self.stamps:
            raise DonorError.of("there is no such file", "", self._mark(name))
        return self.stamps[name]

    def _open(self, name: str) -> StoredFile:
        return StoredFile(self._address(name), self.stamps[name])

    def _cached(self, name: str) -> FolderRepository:
        version = f"{self.stamps[name].etag} {self.stamps[name].size}"
        return FolderRepository(self.cache / _shorten(self.source) / _shorten(version))

    def _address(self, name: str) -> str:
        return f"{self.source}/{name}"

    def _mark(self, name: str) -> Mark:
        return Mark(self._address(name))


def _read_gguf_header(file: StoredFile, size: int, where: str) -> Header:
    """Read the header of a GGUF file piece by piece, because its length is only known at its end."""
    held = bytearray()

    def read(offset: int, nbytes: int) -> bytes:
        end = min(offset + nbytes, size)
        while len(held) < end:
            pieces = fetch_range(file, len(held), min(max(end, len(held) + _GGUF_REQUEST), size), NEVER)
            held.extend(b"".join(pieces))
        return bytes(held[offset:end])

    return parse_gguf_header(read, size, where)


def _shorten(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def open_storage(source: str) -> Repository:
    """Open the folder, or the GGUF file, at an address such as `s3://bucket/folder`.

    DonorError when it cannot be read or has no files.
    """
    source = source.rstrip("/")
    if source.endswith(SUFFIX):
        folder, name = split_address(source)
        return SelectedFiles(_open_parts(folder, name), name)
    find = _look_for_usual if source.startswith("http") else _list_objects
    stamps = dict(find(source))
    if not stamps:
        raise DonorError.of("there are no files at this address", "check the bucket and the path", Mark(source))
    return StorageRepository(source, stamps, find_user_cache("storage"))


def _open_parts(folder: str, name: str) -> StorageRepository:
    """A repository that has only the GGUF file `name` of a folder, or all parts of its set."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        names = list_parts(name)
        stamps = zip(names, pool.map(lambda part: _look_for(folder, part), names), strict=True)
        found = {part: stamp for part, stamp in stamps if stamp}
    if not found:
        raise DonorError.of("there is no such file", "check the address", Mark(f"{folder}/{name}"))
    return StorageRepository(folder, found, find_user_cache("storage"))


def _list_objects(source: str) -> Iterator[tuple[str, RemoteStamp]]:
    """The files below an address, down to one subfolder, with their versions."""

    def request() -> list[Any]:
        found: list[Any] = []
        for page in open_store(source).list():
            found += page
            if len(found) > _MOST_NAMES:
                hint = "name the folder of one checkpoint"
                raise DonorError.of(f"there are more than {_MOST_NAMES:,} files below this address", hint, Mark(source))
        return found

    for meta in ask(request, source):
        name = str(meta["path"])
        if name.count("/") <= 1 and ".." not in PurePosixPath(name).parts:
            yield name, read_stamp(meta)


def _look_for_usual(source: str) -> Iterator[tuple[str, RemoteStamp]]:
    """The usual files of a checkpoint that a web server has, and the shards that its index names."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        usual = dict(zip(_USUAL, pool.map(lambda name: _look_for(source, name), _USUAL), strict=True))
        found = {name: stamp for name, stamp in usual.items() if stamp}
        if INDEX_FILE in found:
            small = StorageRepository(source, found, Path())
            shards = parse_index(small.read(INDEX_FILE, MAX_INDEX_BYTES), f"{source}/{INDEX_FILE}").files
            stamps = pool.map(lambda name: _look_for(source, name), shards)
            found |= {name: stamp for name, stamp in zip(shards, stamps, strict=True) if stamp}
    yield from found.items()


def _look_for(source: str, name: str) -> RemoteStamp | None:
    from obstore import exceptions

    def request() -> RemoteStamp | None:
        try:
            return read_stamp(open_store(source).head(name))
        except (FileNotFoundError, exceptions.NotFoundError):
            return None

    return ask(request, f"{source}/{name}")
