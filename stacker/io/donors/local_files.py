"""Donors made ready for a build: their files on this machine, and where they lie as seen from the output."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from stacker.core.values.donor import Donor, DonorFile
from stacker.errors import SpecError
from stacker.io.files.repository import Repository
from stacker.progress import Progress, Watch, ignore_progress


def fetch_donors(known: Mapping[str, Donor], needed: Mapping[str, Collection[str]], watch: Watch) -> dict[str, Donor]:
    """The donors with all files that a build reads on this machine; only those of the hub take fetching."""
    away = [
        file for name, donor in known.items() for file in donor.files if file.name in needed[name] and not file.path
    ]
    total, done = sum(file.size for file in away), 0

    def tell(nbytes: int) -> None:
        nonlocal done
        done += nbytes
        watch(done, max(total, done))

    return {name: fetch_donor(donor, needed[name], tell) for name, donor in known.items()}


def fetch_donor(donor: Donor, names: Collection[str], progress: Progress = ignore_progress) -> Donor:
    """The donor with those of its files, and its side files, on this machine; only a hub donor takes fetching.

    `progress` is told bytes as they arrive. DonorError when they cannot be had.
    """
    away = {file.name for file in donor.files if file.name in names and not file.path}
    sides = [file for file in donor.side_files if not file.path and file.data is None]
    if not away and not sides:
        return donor
    from stacker.io.hub.repository import open_hub

    # A stack as a donor has no files of its own, and the side files of one of its donors.
    repository = open_hub(sides[0].source, sides[0].revision) if sides else open_hub(donor.source, donor.revision)
    return replace(
        donor,
        files=tuple(_fetched(file, repository, progress) if file.name in away else file for file in donor.files),
        side_files=tuple(
            replace(file, path=str(repository.fetch(file.name, progress).absolute())) if file in sides else file
            for file in donor.side_files
        ),
    )


def _fetched(file: DonorFile, repository: Repository, progress: Progress) -> DonorFile:
    path = repository.fetch(file.name, progress)
    return replace(file, path=str(path.absolute()), mtime=path.stat().st_mtime_ns)


def check_not_overwritten(out: Path, donors: Iterable[Donor]) -> None:
    """SpecError when a donor lies where the output would: it would be replaced by what is made of it."""
    goal = out.resolve()
    for donor in donors:
        paths = (donor.anchor, *(file.path for file in donor.files))
        folders = {Path(path).parent.resolve() for path in paths if path}
        if any(goal in (folder, *folder.parents) for folder in folders):
            message = f"the donor would be overwritten: '{donor.name}' lies in {out}"
            raise SpecError.of(message, "choose another folder for the result")


def find_relative_folder(donor: Donor, out: Path) -> str | None:
    """Where a donor of this machine lies, as seen from the output; None for one of the hub."""
    path = next((file.path for file in donor.files if file.path), None)
    if path is None or donor.revision:
        return None
    return os.path.relpath(Path(path).parent, out)
