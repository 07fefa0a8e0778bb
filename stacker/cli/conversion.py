"""Converts spec files to mergekit's YAML, in which every nested spec file becomes a separate YAML document."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from stacker.core.clients.layer_ranges import to_exllamav3, to_peft
from stacker.core.stack.hops import list_divided_roles
from stacker.core.stack.nodes import RAMPS
from stacker.core.values.donor import Donor
from stacker.errors import SpecError, StackerError, raise_problems
from stacker.io.donors.reader import read_avoiding_hub
from stacker.io.files.paths import is_folder, resolve_links
from stacker.io.files.spec_files import read_spec_file
from stacker.spec.language.stack_spec import DonorSpec, StackSpec
from stacker.spec.mergekit.writer import to_mergekit
from stacker.spec.parser import parse_spec


def to_mergekit_text(spec: StackSpec, path: Path) -> str:
    """Convert the spec that was read from the file `path` to mergekit's YAML.

    Donors are read only if the conversion fails without their numbers of layers and their tensor names. Raises
    SpecError with a list of what mergekit cannot express.
    """
    staged = _add_stages(spec, path.parent, "", (resolve_links(path, SpecError),))
    try:
        return to_mergekit(staged, ramps=RAMPS)
    except SpecError as error:
        try:
            donors = dict(_read_donors(staged, path.parent, ""))
        except StackerError:
            raise error from None
    depths = {key: donor.depth for key, donor in donors.items()}
    names, writers = find_role_names(donors.values()), list_divided_roles(donors.values())
    return to_mergekit(staged, depths, names, RAMPS, writers)


def to_layer_ranges(text: bytes, path: Path, form: str, parameters: Mapping[str, object]) -> str:
    """The stack of a spec as layer ranges for `peft` or `exllamav3`; SpecError lists why it cannot be written so."""
    from stacker.compose import load_text

    stack = load_text(text, path, read=read_avoiding_hub, parameters=parameters)
    raise_problems(stack.problems)
    write = {"peft": to_peft, "exllamav3": to_exllamav3}[form]
    return write(stack.spec, stack.graph, stack.donors, stack.config)


def _read_donors(spec: StackSpec, folder: Path, prefix: str) -> Iterator[tuple[str, Donor]]:
    """Read every donor that is a folder or a hub id, also in nested specs; yields pairs of key and donor.

    The key is `prefix` followed by the donor's name. For donor `inner` in the nested spec of donor `outer`, the name is
    `outer/inner`.
    """
    for donor in spec.donors:
        if donor.stage is not None:
            yield from _read_donors(donor.stage, folder, f"{prefix}{donor.name}/")
        elif donor.source:
            yield prefix + donor.name, read_avoiding_hub(donor, folder, spec.dialect)


def _add_stages(spec: StackSpec, folder: Path, prefix: str, opened: tuple[Path, ...]) -> StackSpec:
    """A copy of the spec in which each donor with a nested spec file has the parsed spec in `DonorSpec.stage`.

    Folders of nested donors become relative to `folder`, and the names of nested specs begin with `prefix`; SpecError
    is raised if a nested file is one of `opened`, the files that are already being parsed.
    """
    return replace(spec, donors=tuple(_add_stage(donor, folder, prefix, opened) for donor in spec.donors))


def _add_stage(donor: DonorSpec, folder: Path, prefix: str, opened: tuple[Path, ...]) -> DonorSpec:
    if donor.stack is None or donor.stage is not None:
        return donor
    path = folder / donor.stack
    if resolve_links(path, SpecError) in opened:
        raise SpecError.of(f"donor '{donor.name}' is made of itself", "", donor.mark)
    inner = parse_spec(read_spec_file(path), str(path), dict(donor.parameters))
    name = f"{prefix}{donor.name}"
    stage = _add_stages(inner, path.parent, f"{name}-", (*opened, resolve_links(path, SpecError)))
    seen = tuple(_rebase_source(donor, path.parent, folder) for donor in stage.donors)
    return replace(donor, stack=name, stage=replace(stage, donors=seen))


def _rebase_source(donor: DonorSpec, own: Path, folder: Path) -> DonorSpec:
    """A copy of a donor whose folder, with the folders in its nested spec, is relative to `folder` instead of `own`.

    Hub ids stay unchanged.
    """
    if donor.stage is not None:
        below = tuple(_rebase_source(each, own, folder) for each in donor.stage.donors)
        return replace(donor, stage=replace(donor.stage, donors=below))
    if own == folder:
        return donor
    adapters = tuple(replace(each, source=_rebase_path(each.source, own, folder)) for each in donor.adapters)
    source = donor.source and _rebase_path(donor.source, own, folder)
    return replace(donor, source=source, adapters=adapters)


def _rebase_path(source: str, own: Path, folder: Path) -> str:
    return f"./{os.path.relpath(own / source, folder)}" if is_folder(own / source) else source


def find_role_names(donors: Iterable[Donor]) -> dict[str, tuple[str, ...]]:
    """Map each tensor role (`attn.q`) and each prefix of a role (`attn`) to substrings that identify its tensors.

    Every tensor name of the role contains at least one of the substrings, and no other tensor name contains any of
    them; a role for which there are no such substrings is left out.
    """
    roles = {name: tensor.role for donor in donors for name, tensor in donor.tensors.items()}
    names: dict[str, set[str]] = {}
    for name, role in roles.items():
        for head in _list_heads(role):
            names.setdefault(head, set()).add(name)
    parts = {head: _choose_parts(wanted, roles) for head, wanted in sorted(names.items())}
    return {head: chosen for head, chosen in parts.items() if chosen}


def _list_heads(role: str) -> tuple[str, ...]:
    """All prefixes of a role, and the role: `attn`, `attn.q` and `attn.q.bias` for the role `attn.q.bias`."""
    steps = role.split(".")
    return tuple(".".join(steps[:count]) for count in range(1, len(steps) + 1))


def _choose_parts(wanted: set[str], names: Mapping[str, str]) -> tuple[str, ...]:
    """Choose a few substrings that distinguish the tensor names in `wanted` from the other tensor names in `names`.

    Each name in `wanted` contains at least one of the substrings, and no other name contains any. Returns () if there
    are no such substrings.
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
