"""Downloads files of donors before a build, protects donors from being overwritten, and finds the folders of donors."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from stacker.core.values.donor import Donor, DonorFile
from stacker.errors import DonorError, SpecError
from stacker.formats.gguf_names import SUFFIX
from stacker.io.donors.location import open_source
from stacker.io.files.headers import make_stamp
from stacker.io.files.paths import is_utf8, read_status, resolve_links
from stacker.io.files.repository import Repository
from stacker.progress import Progress, Watch, ignore_progress

_ELSEWHERE = "choose another folder for the output"


def fetch_donors(known: Mapping[str, Donor], needed: Mapping[str, Collection[str]], watch: Watch) -> dict[str, Donor]:
    """Download the weight files that a build needs and that are only on the hub.

    `needed` maps the name of each donor in `known` to the files to download. Returns the donors by name, with the
    paths of the downloaded files; `watch` is called with the number of bytes downloaded so far and the number of bytes
    to download in all.
    """
    remote = [
        file for name, donor in known.items() for file in donor.files if file.name in needed[name] and not file.path
    ]
    total, done = sum(file.size for file in remote), 0

    def add_progress(nbytes: int) -> None:
        nonlocal done
        done += nbytes
        watch(done, max(total, done))

    return {name: fetch_donor(donor, needed[name], add_progress) for name, donor in known.items()}


def fetch_donor(donor: Donor, names: Collection[str], progress: Progress = ignore_progress) -> Donor:
    """Download the weight files `names` of a donor, except files that are on this machine.

    Returns the donor with the paths of the downloaded files. `progress` is called with the number of bytes that arrived
    since the last call; DonorError when a download fails.
    """
    remote = {file.name for file in donor.files if file.name in names and not file.path}
    if not remote:
        return donor
    repository = open_source(donor.source, donor.revision)
    files = (_fetch_file(file, repository, progress) if file.name in remote else file for file in donor.files)
    return replace(donor, files=tuple(files))


def _fetch_file(file: DonorFile, repository: Repository, progress: Progress) -> DonorFile:
    path = repository.fetch(file.name, progress)
    status = read_status(path, DonorError)
    return replace(file, path=str(path.absolute()), stamp=make_stamp(status) if status else None)


def check_not_overwritten(out: Path, donors: Iterable[Donor]) -> None:
    """Raise a SpecError when a donor is in the output folder or below it, or the output is in a donor's folder.

    A build replaces its output folder, and a folder in a donor's belongs to that donor. GGUF files may share a folder.
    """
    target = resolve_links(out)
    for donor in donors:
        paths = (donor.anchor, *(file.path for file in donor.files))
        places = {resolve_links(Path(path)) for path in paths if path}
        if any(target in (place, *place.parents) for place in places):
            message = f"the donor would be overwritten: '{donor.name}' is in {out}"
            raise SpecError.of(message, _ELSEWHERE)
        own = {Path(path).absolute().parent for path in paths if path and not path.endswith(SUFFIX)}
        if any(resolve_links(folder) in target.parents for folder in own):
            raise SpecError.of(f"the output {out} would be in the folder of donor '{donor.name}'", _ELSEWHERE)


def list_local_files(donors: Iterable[Donor]) -> list[Path]:
    """The path of one file of each donor that is on this machine: a weight file, or the config if it has no weights."""
    paths = (next((file.path for file in donor.files if file.path), donor.anchor) for donor in donors)
    return [Path(path) for path in paths if path]


def find_relative_source(donor: Donor, folder: Path) -> str | None:
    """Where a donor is relative to `folder`: its folder, or its first GGUF file; None if it is on the hub or nowhere.

    None also for a path that is not UTF-8, which JSON cannot hold.
    """
    path = next((file.path for file in donor.files if file.path), None)
    if path is None or donor.revision:
        return None
    below = os.path.relpath(path if path.endswith(SUFFIX) else Path(path).parent, folder)
    return below if is_utf8(below) else None
