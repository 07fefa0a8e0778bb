"""The families that ship with stacker. A file is parsed when it is first asked for, and only then."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from stacker.arch.files.architecture import Architecture, Config
from stacker.arch.files.document import entries_of, read_entries, text_of
from stacker.arch.files.parser import parse_architecture

_NOT_FAMILIES = frozenset({"inferred"})
_MODEL_TYPES = re.compile(r"^model_types: *\[([^]]*)\]", re.MULTILINE)


def find_architecture(config: Config) -> Architecture | None:
    """The family whose model type the config has, None where no file knows it."""
    model_type = config.get("model_type")
    if not isinstance(model_type, str):
        return None
    name = _family_of(model_type)
    return architecture(name) if name else None


def architectures() -> tuple[Architecture, ...]:
    """Every family, by name."""
    return tuple(architecture(name) for name in families())


@cache
def families() -> tuple[str, ...]:
    """The names of all family files."""
    names = (entry.name.removesuffix(".yaml") for entry in files("stacker.architectures").iterdir())
    return tuple(sorted(name for name in names if "." not in name and name not in _NOT_FAMILIES and name[0] != "_"))


@cache
def architecture(name: str) -> Architecture:
    """The family of that file name."""
    return parse_architecture(packaged_text(name), f"{name}.yaml", packaged_text)


@cache
def tried_stacks() -> dict[str, dict[str, str]]:
    """By model type, how each stack of the trials came out: `right`, or `refused: why (what works)`."""
    families = read_entries(packaged_text("_tested"), "_tested.yaml")
    return {
        name: {stack: text_of(word) for stack, word in entries_of(words).items()} for name, words in families.items()
    }


def packaged_text(name: str) -> str:
    """The text of a packaged file; KeyError where there is none."""
    return (files("stacker.architectures") / f"{name}.yaml").read_text(encoding="utf-8")


def _family_of(model_type: str) -> str | None:
    """The file that claims a model type; the one of its own name is looked at first."""
    known = families()
    ordered = sorted(known, key=lambda name: name != model_type)
    return next((name for name in ordered if model_type in _claimed(name)), None)


@cache
def _claimed(name: str) -> frozenset[str]:
    found = _MODEL_TYPES.search(packaged_text(name))
    return frozenset(found[1].replace(",", " ").split()) if found else frozenset()
