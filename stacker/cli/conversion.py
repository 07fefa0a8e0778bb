"""A spec in mergekit's words: nested spec files become stages, donors are read where depths or names are wanted."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from stacker.core.values.donor import Donor
from stacker.errors import SpecError, StackerError
from stacker.io.donors.reading import read_nearby
from stacker.io.files.spec_files import read_spec_file
from stacker.spec.language.stack_spec import DonorSpec, StackSpec
from stacker.spec.mergekit.writer import to_mergekit
from stacker.spec.parser import parse_spec


def to_mergekit_text(spec: StackSpec, path: Path) -> str:
    """The spec of a file in mergekit's words; SpecError lists what it cannot say."""
    staged = _staged(spec, path.parent, "", (path.resolve(),))
    try:
        return to_mergekit(staged)
    except SpecError as error:
        try:
            donors = dict(_read(staged, path.parent, ""))
        except StackerError:
            raise error from None
    return to_mergekit(
        staged, {key: donor.depth for key, donor in donors.items()}, find_role_names(tuple(donors.values()))
    )


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


def find_role_names(donors: Iterable[Donor]) -> dict[str, tuple[str, ...]]:
    """For each role of the donors' tensors, and each head of one, parts of names that its tensors have and no others.

    A role of which some tensor has no such part is left out.
    """
    roles = {name: tensor.role for donor in donors for name, tensor in donor.tensors.items()}
    words = {word for role in roles.values() for word in _heads(role)}
    found = {word: _parts({name for name, role in roles.items() if word in _heads(role)}, roles) for word in words}
    return {word: parts for word, parts in sorted(found.items()) if parts}


def _heads(role: str) -> tuple[str, ...]:
    """A role and what it stands under: `attn.q.bias` is also `attn.q` and `attn`."""
    steps = role.split(".")
    return tuple(".".join(steps[:count]) for count in range(1, len(steps) + 1))


def _parts(wanted: set[str], names: Mapping[str, str]) -> tuple[str, ...]:
    """Parts that between them select the wanted names alone, in few words; none where some name has none."""
    segments = {part for name in wanted for part in _candidates(name)}
    others = names.keys() - wanted
    fitting = {part for part in segments if not any(part in name for name in others)}
    chosen: list[str] = []
    left = set(wanted)
    while left:
        best = max(sorted(fitting, key=len), key=lambda part: sum(part in name for name in left), default="")
        if not best or not any(best in name for name in left):
            return ()
        chosen.append(best)
        left = {name for name in left if best not in name}
    return tuple(chosen)


def _candidates(name: str) -> tuple[str, ...]:
    steps = [step for step in name.split(".") if not step.isdigit()]
    pairs = (f"{one}.{two}" for one, two in pairwise(steps))
    return (*steps, *pairs)
