"""Testing the YAML of the docs: specs are checked with reference configs as donors; parts of specs are completed."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from stacker.arch.files.parser import parse_architecture
from stacker.compose import load_text
from stacker.core.values.donor import Donor
from stacker.errors import select_errors
from stacker.io.donors.reader import read_from_reference
from stacker.spec.language.stack_spec import Dialect, DonorSpec
from stacker.spec.native.shape import StackShape
from stacker.spec.parser import parse_spec
from stacker.text.node import Mapping, Sequence
from stacker.text.yaml import read_yaml

STAND_IN = "llama-2-70b"
_SLICE = re.compile(r"(?<![\w./-])([a-z][a-z0-9-]*)(?=\[[\d:]*\])")


def try_yaml(text: str, where: str) -> None:
    """Parse a block as a spec, a part of one, or a family; a whole spec must also pass the checks."""
    root = read_yaml(text, where)
    if isinstance(root, Sequence):
        parse_spec(_completed(text), where)
        return
    assert isinstance(root, Mapping), f"{where}: neither a mapping nor a list"
    keys = set(root.names)
    if "family" in keys:
        parse_architecture(text, where, _packaged)
    elif keys & {"stacker", "merge_method"}:
        _check(text, where)
    elif "donors" in keys:
        names = [key.text for key, _ in getattr(root.get("donors"), "entries", ())]
        parse_spec("stacker: 1\n" + text + "stack:\n" + "".join(f"  - {name}\n" for name in names), where)
    elif keys <= set(StackShape.model_fields):
        known = "donors: {xwin: a/b, euryale: a/c}\nstack: [xwin, euryale]\n"
        parse_spec(f"stacker: 1\n{known}{text}", where)
    else:
        parse_architecture(f"family: part\nlike: llama\nmodel_types: [part]\n{text}", where, _packaged)


def _completed(items: str) -> str:
    """The text of a spec with these items as its stack, and donors for the names in them."""
    donors = dict.fromkeys([*_SLICE.findall(items), *re.findall(r"(?m)^- ([a-z][a-z0-9-]*)$", items)])
    stack = "".join(f"  {line}\n" for line in items.splitlines())
    tail = f"stacks: {{tail: [{next(iter(donors))}]}}\n" if "use: tail" in items else ""
    named = "".join(f"  {name}: ./{name}\n" for name in donors)
    return f"stacker: 1\ndonors:\n{named}stack:\n{stack}{tail}"


def _packaged(name: str) -> str:
    return (files("stacker.architectures") / f"{name}.yaml").read_text(encoding="utf-8")


def _check(text: str, where: str) -> None:
    """Check a spec with donors made from reference configs, without weights or the hub."""
    if any(donor.stack for donor in parse_spec(text, where).donors):
        return
    problems = select_errors(load_text(text.encode(), Path(where), read=_stand_in).problems)
    assert problems == (), "\n".join(map(str, problems))


def _stand_in(spec: DonorSpec, folder: Path, dialect: Dialect) -> Donor:
    like = spec.like if spec.like and not spec.like.startswith(".") else STAND_IN
    return read_from_reference(replace(spec, like=like), folder, dialect)
