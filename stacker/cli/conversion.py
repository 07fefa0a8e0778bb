"""Convert spec files to mergekit's YAML, in which a nested spec file becomes a document of its own (a stage)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from stacker.core.stack.nodes import RAMPS
from stacker.core.values.donor import Donor
from stacker.errors import SpecError, StackerError
from stacker.io.donors.reader import read_avoiding_hub
from stacker.io.files.spec_files import read_spec_file
from stacker.spec.language.stack_spec import DonorSpec, StackSpec
from stacker.spec.mergekit.writer import to_mergekit
from stacker.spec.parser import parse_spec


def to_mergekit_text(spec: StackSpec, path: Path) -> str:
    """Convert a spec that was read from `path` to mergekit's YAML; SpecError lists what mergekit cannot express.

    Donors are read only if the conversion fails without their depths and tensor names.
    """
    staged = _add_stages(spec, path.parent, "", (path.resolve(),))
    try:
        return to_mergekit(staged, ramps=RAMPS)
    except SpecError as error:
        try:
            donors = dict(_read_donors(staged, path.parent, ""))
        except StackerError:
            raise error from None
    depths = {key: donor.depth for key, donor in donors.items()}
    return to_mergekit(staged, depths, find_role_names(tuple(donors.values())), RAMPS)


def _read_donors(spec: StackSpec, folder: Path, prefix: str) -> Iterator[tuple[str, Donor]]:
    """Read each donor that names a folder or hub id, and yield it with its key.

    The key is the donor's name, or `outer/inner` for donor `inner` in the nested spec of donor `outer`.
    """
    for donor in spec.donors:
        if donor.stage is not None:
            yield from _read_donors(donor.stage, folder, f"{prefix}{donor.name}/")
        elif donor.source:
            yield prefix + donor.name, read_avoiding_hub(donor, folder, spec.dialect)


def _add_stages(spec: StackSpec, folder: Path, prefix: str, opened: tuple[Path, ...]) -> StackSpec:
    """The spec with every nested spec file parsed into `DonorSpec.stage`, and its donors' folders relative to `folder`.

    `prefix` begins the names of stages; `opened` lists the spec files being parsed, to find one that nests itself.
    """
    return replace(spec, donors=tuple(_add_stage(donor, folder, prefix, opened) for donor in spec.donors))


def _add_stage(donor: DonorSpec, folder: Path, prefix: str, opened: tuple[Path, ...]) -> DonorSpec:
    if donor.stack is None or donor.stage is not None:
        return donor
    path = folder / donor.stack
    if path.resolve() in opened:
        raise SpecError.of(f"donor '{donor.name}' is made of itself", "", donor.mark)
    inner = parse_spec(read_spec_file(path), str(path))
    name = f"{prefix}{donor.name}"
    stage = _add_stages(inner, path.parent, f"{name}-", (*opened, path.resolve()))
    seen = tuple(_rebase_source(donor, path.parent, folder) for donor in stage.donors)
    return replace(donor, stack=name, stage=replace(stage, donors=seen))


def _rebase_source(donor: DonorSpec, own: Path, folder: Path) -> DonorSpec:
    """Make a donor's folder relative to `folder` instead of `own`, also in its stages; hub ids stay unchanged."""
    if donor.stage is not None:
        below = tuple(_rebase_source(each, own, folder) for each in donor.stage.donors)
        return replace(donor, stage=replace(donor.stage, donors=below))
    if own == folder or donor.source is None or not (own / donor.source).is_dir():
        return donor
    return replace(donor, source=f"./{os.path.relpath(own / donor.source, folder)}")


def find_role_names(donors: Iterable[Donor]) -> dict[str, tuple[str, ...]]:
    """Substrings of tensor names by tensor role (`attn.q`) and by prefix of a role (`attn`).

    Every tensor name of the role contains one of its substrings, and no other tensor name does. A role without such
    substrings is left out.
    """
    roles = {name: tensor.role for donor in donors for name, tensor in donor.tensors.items()}
    names: dict[str, set[str]] = {}
    for name, role in roles.items():
        for head in _list_heads(role):
            names.setdefault(head, set()).add(name)
    parts = {head: _choose_parts(wanted, roles) for head, wanted in sorted(names.items())}
    return {head: chosen for head, chosen in parts.items() if chosen}


def _list_heads(role: str) -> tuple[str, ...]:
    """The prefixes of a role, and the role itself: `attn`, `attn.q` and `attn.q.bias` for `attn.q.bias`."""
    steps = role.split(".")
    return tuple(".".join(steps[:count]) for count in range(1, len(steps) + 1))


def _choose_parts(wanted: set[str], names: Mapping[str, str]) -> tuple[str, ...]:
    """A few substrings: each name in `wanted` contains at least one, and no other name in `names` contains any.

    Returns () if a wanted name has no substring that sets it apart.
    """
    segments = {part for name in wanted for part in _list_candidates(name)}
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


def _list_candidates(name: str) -> tuple[str, ...]:
    steps = [step for step in name.split(".") if not step.isdigit()]
    pairs = (f"{one}.{two}" for one, two in pairwise(steps))
    return (*steps, *pairs)
