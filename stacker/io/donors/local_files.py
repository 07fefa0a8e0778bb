"""Donors made ready for a build: their files on this machine, and where they lie as seen from the output."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from stacker.core.values.donor import Donor
from stacker.errors import SpecError
from stacker.io.donors.reader import fetch_donor
from stacker.progress import Watch


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
