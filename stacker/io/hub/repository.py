"""A donor on the model hub: its files at one commit, from the hub's cache on this machine where they are there.

Configs and headers are read without weights; a shard is downloaded when it is asked for. huggingface_hub does the
asking and the keeping; it is imported only when there is such a donor.
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
    """A repository of the hub at the commit `revision`; `source` is what was asked for, `sizes` its files and bytes.

    `local` is the part of it that the cache holds; `reachable` says that the hub answered when it was asked.
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
                f"the file has {size} bytes; stacker reads at most {limit}", "", Mark(str(self._place(name)))
            )
        self.fetch(name)
        return self.local.read(name, limit)

    def read_header(self, name: str) -> Header:
        return self.local.read_header(name) if self.find_path(name) else read_hub_header(self._place(name))

    def find_path(self, name: str) -> Path | None:
        return self.local.find_path(name)

    def fetch(self, name: str, progress: Progress = lambda _: None) -> Path:
        if self.find_path(name) is None:
            if not self.reachable:
                list_files(self._place(name))  # says sooner than a download would that there is still nobody
            download(self._place(name), self.sizes.get(name), progress)
        return self.local.fetch(name)

    def _place(self, name: str) -> HubAddress:
        return HubAddress(self.repo, self.revision, name)


def open_hub(repo_id: str, revision: str | None) -> HubRepository:
    """The repository `repo_id` of the hub at `revision`, a branch, tag or commit (None is the default branch).

    The hub is asked which commit that is; where it cannot be reached, the cache answers. SpecError for what can be no
    id, DonorError for what the hub does not give and the cache does not hold.
    """
    place = HubAddress(repo_id, revision)
    _check_id(place)
    with translate_hub_errors(place):
        cached = _cached_listing(place)
    reachable = True
    try:
        # With something to fall back on, there is no point in waiting for a network that is not there.
        listing = list_files(place, pauses=() if cached else None)
        _remember(place, listing.commit)
    except DonorError:
        if cached is None:
            raise
        listing, reachable = cached, False
    source = f"{repo_id}@{revision}" if revision else repo_id
    snapshot = FolderRepository(_cache(repo_id) / "snapshots" / listing.commit, listing.commit)
    return HubRepository(repo_id, source, listing.commit, dict(listing.sizes), snapshot, reachable)


def _check_id(place: HubAddress) -> None:
    if not _ID.fullmatch(place.repo):
        message = f"'{escape_text(place.repo)}' is neither a folder here nor a hub id"
        hint = "a hub id is name or owner/name, of letters, digits, '-', '_' and '.'; a folder's path must exist"
        raise SpecError.of(message, hint)
    if place.revision is not None and not _REVISION.fullmatch(place.revision):
        message = f"'{escape_text(place.revision)}' cannot be a revision of {place.repo}"
        raise SpecError.of(message, "write a branch, a tag or a commit after the '@'")


def _cache(repo_id: str) -> Path:
    """The repository's folder in the hub's cache, whose layout huggingface_hub documents: refs, snapshots, blobs."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{repo_id.replace('/', '--')}"


def _remember(place: HubAddress, commit: str) -> None:
    """Note which commit a branch or tag is, so that its name works without the network."""
    ref = _cache(place.repo) / "refs" / (place.revision or "main")
    if commit == place.revision:
        return
    # A cache that cannot be written can still be read, and a download would say so.
    with contextlib.suppress(OSError):
        ref.parent.mkdir(parents=True, exist_ok=True)
        ref.write_text(commit)


def _cached_listing(place: HubAddress) -> Listing | None:
    """What the cache holds of the repository, and the shards its index names; None without even a config."""
    commit = _cached_commit(place)
    snapshot = _cache(place.repo) / "snapshots" / (commit or "")
    if commit is None or not (snapshot / "config.json").exists():
        return None
    sizes: dict[str, int | None] = dict.fromkeys(_named_by_index(snapshot / INDEX_FILE))
    sizes |= dict.fromkeys(FolderRepository(snapshot).list_names())
    return Listing(commit, sizes)


def _cached_commit(place: HubAddress) -> str | None:
    cache = _cache(place.repo)
    with contextlib.suppress(OSError):
        return (cache / "refs" / (place.revision or "main")).read_text().strip()
    commits = [folder.name for folder in cache.glob(f"snapshots/{place.revision}*")] if place.revision else []
    return commits[0] if len(commits) == 1 else None


def _named_by_index(path: Path) -> Iterator[str]:
    """The shards that an index names; a broken one names none here, and is refused where it is read."""
    with contextlib.suppress(OSError, ValueError):
        index = json.loads(path.read_bytes())
        places = index.get("weight_map") if isinstance(index, dict) else None
        yield from (name for name in places.values() if isinstance(name, str)) if isinstance(places, dict) else ()
