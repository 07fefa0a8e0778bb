"""A spec in mergekit's words: nested spec files become stages, donors are read where depths or names are wanted."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from stacker.core.donor import Donor
from stacker.errors import SpecError, StackerError
from stacker.io.donors import read_nearby
from stacker.io.spec_files import read_spec_file
from stacker.spec.emit import to_mergekit
from stacker.spec.model import DonorSpec, StackSpec
from stacker.spec.parser import parse_spec


def mergekit_text(spec: StackSpec, path: Path) -> str:
    """The spec of a file in mergekit's words; SpecError lists what it cannot say."""
    from stacker.core.role_names import role_names

    staged = _staged(spec, path.parent, "", (path.resolve(),))
    try:
        return to_mergekit(staged)
    except SpecError as error:
        try:
            donors = dict(_read(staged, path.parent, ""))
        except StackerError:
            raise error from None
    return to_mergekit(staged, {key: donor.depth for key, donor in donors.items()}, role_names(tuple(donors.values())))


def _read(spec: StackSpec, folder: Path, prefix: str) -> Iterator[tuple[str, Donor]]:
    """Every donor with weights of its own, those of stages under `stage/donor`."""
    for each in spec.donors:
        if each.stage is not None:
            yield from _read(each.stage, folder, f"{prefix}{each.name}/")
        elif each.source:
            yield prefix + each.name, read_nearby(each, folder, spec.dialect)


def _staged(spec: StackSpec, folder: Path, prefix: str, opened: tuple[Path, ...]) -> StackSpec:
    """The spec with the specs that its donors are made by inside it, all relative folders seen from `folder`."""
    return replace(spec, donors=tuple(_with_stage(each, folder, prefix, opened) for each in spec.donors))


def _with_stage(each: DonorSpec, folder: Path, prefix: str, opened: tuple[Path, ...]) -> DonorSpec:
    if each.stack is None or each.stage is not None:
        return each
    path = folder / each.stack
    if path.resolve() in opened:
        raise SpecError.of(f"donor '{each.name}' is made of itself", "", each.mark)
    inner = parse_spec(read_spec_file(path), str(path))
    name = f"{prefix}{each.name}"
    stage = _staged(inner, path.parent, f"{name}-", (*opened, path.resolve()))
    seen = tuple(_seen_from(donor, path.parent, folder) for donor in stage.donors)
    return replace(each, stack=name, stage=replace(stage, donors=seen))


def _seen_from(donor: DonorSpec, own: Path, folder: Path) -> DonorSpec:
    """A donor whose folder was relative to `own`, relative to `folder`."""
    if donor.stage is not None:
        below = tuple(_seen_from(each, own, folder) for each in donor.stage.donors)
        return replace(donor, stage=replace(donor.stage, donors=below))
    if own == folder or donor.source is None or not (own / donor.source).is_dir():
        return donor
    return replace(donor, source=f"./{os.path.relpath(own / donor.source, folder)}")
