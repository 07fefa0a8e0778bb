"""Reads a donor on the hub at one commit, from the local cache of huggingface_hub where possible.

Configs and headers are read without downloading weights; shards are downloaded on demand. huggingface_hub is imported
only when a donor is on the hub.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from stacker.errors import DonorError, Mark, SpecError, escape_text
from stacker.formats.index import INDEX_FILE
from stacker.formats.safetensors import Header
from stacker.io.files.paths import exists, is_folder, list_folder
from stacker.io.files.repository import FolderRepository
from stacker.io.hub.download import download
from stacker.io.hub.errors import HubAddress, translate_hub_errors
from stacker.io.hub.headers import read_hub_header
from stacker.io.hub.requests import Listing, list_files
from stacker.progress import Progress

_ID = re.compile(r"(?!.*(?:--|\.\.))(?:\w[\w.-]*/)?\w(?:[\w.-]{0,94}\w)?", re.ASCII)
_REVISION = re.compile(r"(?!.*\.\.)[\w][\w./+-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class HubRepository:
    """A repository on the hub at the commit `revision`; `source` is the id and revision as written in the spec.

    `sizes` maps each file name to the file's size in bytes (None: unknown). `local` is the folder of that commit in the
    hub's local cache, and `reachable` says whether the hub answered when the repository was opened.
    """

    repo: str
    source: str
    revision: str
    sizes: dict[str, int | None] = field(repr=False)
    local: FolderRepository
    reachable: bool = True

    def list_names(self) -> tuple[str, ...]:
        return tuple(sorted(self.sizes))

    def read(self, name: str, limit: int) -> bytes:
        size = self.sizes.get(name)
        if size is not None and size > limit:
            raise DonorError.of(
                f"the file has {size} bytes; stacker reads at most {limit}", "", Mark(str(self._address(name)))
            )
        self.fetch(name)
        return self.local.read(name, limit)

    def read_header(self, name: str) -> Header:
        return self.local.read_header(name) if self.find_path(name) else read_hub_header(self._address(name))

    def find_path(self, name: str) -> Path | None:
        return self.local.find_path(name)

    def fetch(self, name: str, progress: Progress = lambda _: None) -> Path:
        if self.find_path(name) is None:
            if not self.reachable:
                list_files(self._address(name))  # fails sooner than a download when the hub is still unreachable
            download(self._address(name), self.sizes.get(name), progress)
        return self.local.fetch(name)

    def _address(self, name: str) -> HubAddress:
        return HubAddress(self.repo, self.revision, name)


def open_hub(repo_id: str, revision: str | None) -> HubRepository:
    """Open a repository of the hub at a branch, tag or commit `revision`; None means the default branch.

    If the hub cannot be reached, files in the local cache are used. SpecError when the id or the revision is malformed,
    DonorError when neither the hub nor the cache has the repository.
    """
    address = HubAddress(repo_id, revision)
    check_id(address)
    with translate_hub_errors(address):
        cached = _list_cached(address)
    reachable = True
    try:
        # With a cached copy, waiting for a missing network is pointless.
        listing = list_files(address, pauses=() if cached else None)
        _save_commit(address, listing.commit)
    except DonorError:
        if cached is None:
            raise
        listing, reachable = cached, False
    source = f"{repo_id}@{revision}" if revision else repo_id
    snapshot = FolderRepository(_cache_folder(repo_id) / "snapshots" / listing.commit, listing.commit)
    return HubRepository(repo_id, source, listing.commit, dict(listing.sizes), snapshot, reachable)


def check_id(address: HubAddress) -> None:
    """Raise a SpecError if the id or the revision of a repository is malformed."""
    if not _ID.fullmatch(address.repo):
        message = f"'{escape_text(address.repo)}' is neither a folder here nor a hub id"
        hint = "a hub id is name or owner/name, of letters, digits, '-', '_' and '.'; a folder's path must exist"
        raise SpecError.of(message, hint)
    if address.revision is not None and not _REVISION.fullmatch(address.revision):
        message = f"'{escape_text(address.revision)}' cannot be a revision of {address.repo}"
        raise SpecError.of(message, "write a branch, a tag or a commit after the '@'")


def _cache_folder(repo_id: str) -> Path:
    """The folder of a repository in the hub's local cache.

    Its subfolders are `refs`, `snapshots` and `blobs`, as huggingface_hub documents.
    """
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{repo_id.replace('/', '--')}"


def _save_commit(address: HubAddress, commit: str) -> None:
    """Save in the hub's cache which commit a branch or tag points to, so that the branch or tag can be used offline."""
    ref = _cache_folder(address.repo) / "refs" / (address.revision or "main")
    if commit == address.revision:
        return
    # A read-only cache is still usable; a download would report the failure.
    with contextlib.suppress(OSError):
        ref.parent.mkdir(parents=True, exist_ok=True)
        ref.write_text(commit)


def _list_cached(address: HubAddress) -> Listing | None:
    """List the files of a repository in the hub's cache, and the shards that the cached index names; sizes are unknown.

    None when the repository's config.json is not in the cache.
    """
    commit = _find_cached_commit(address)
    snapshot = _cache_folder(address.repo) / "snapshots" / (commit or "")
    if commit is None or not exists(snapshot / "config.json"):
        return None
    sizes: dict[str, int | None] = dict.fromkeys(_list_indexed(snapshot / INDEX_FILE))
    sizes |= dict.fromkeys(FolderRepository(snapshot).list_names())
    return Listing(commit, sizes)


def _find_cached_commit(address: HubAddress) -> str | None:
    cache = _cache_folder(address.repo)
    with contextlib.suppress(OSError):
        return (cache / "refs" / (address.revision or "main")).read_text().strip()
    snapshots = cache / "snapshots"
    if not address.revision or not is_folder(snapshots):
        return None
    commits = [name for name in list_folder(snapshots) if name.startswith(address.revision)]
    return commits[0] if len(commits) == 1 else None


def _list_indexed(path: Path) -> Iterator[str]:
    """Yield the names of the shards in the index file at `path`; no names when the file is missing or malformed.

    A malformed index is reported later, when the index is parsed.
    """
    with contextlib.suppress(OSError, ValueError):
        index = json.loads(path.read_bytes())
        weight_map = index.get("weight_map") if isinstance(index, dict) else None
        names = weight_map.values() if isinstance(weight_map, dict) else ()
        yield from (name for name in names if isinstance(name, str))
