"""Finds and parses the architecture files that ship with stacker; each file is parsed on first use."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from stacker.arch.files.architecture import Architecture, Config
from stacker.arch.files.clients import Client, parse_clients
from stacker.arch.files.document import expect_mapping, expect_text, read_entries
from stacker.arch.files.parser import parse_architecture

_NOT_FAMILIES = frozenset({"inferred"})
_MODEL_TYPES = re.compile(r"^model_types: *\[([^]]*)\]", re.MULTILINE)


def find_architecture(config: Config) -> Architecture | None:
    """The architecture whose file lists the `model_type` of the config; None if no file lists it."""
    model_type = config.get("model_type")
    if not isinstance(model_type, str):
        return None
    name = _find_family(model_type)
    return read_architecture(name) if name else None


def read_architectures() -> tuple[Architecture, ...]:
    """The architectures of all families that have a file, sorted by name."""
    return tuple(read_architecture(name) for name in list_families())


@cache
def list_families() -> tuple[str, ...]:
    """The sorted names of all architecture files, without `.yaml`."""
    names = (entry.name.removesuffix(".yaml") for entry in files("stacker.architectures").iterdir())
    return tuple(sorted(name for name in names if "." not in name and name not in _NOT_FAMILIES and name[0] != "_"))


@cache
def read_architecture(name: str) -> Architecture:
    """Parse the packaged architecture file `name`.yaml."""
    return parse_architecture(read_packaged_text(name), f"{name}.yaml", read_packaged_text)


@cache
def read_tested_stacks() -> dict[str, dict[str, str]]:
    """The results of building stacks with each model type: a dict from model type to a dict from stack name to result.

    A result is "right", or "refused: " with the reason and, in parentheses, what works instead.
    """
    families = read_entries(read_packaged_text("_tested"), "_tested.yaml")
    return {
        name: {stack: expect_text(word) for stack, word in expect_mapping(words).items()}
        for name, words in families.items()
    }


@cache
def read_clients() -> tuple[Client, ...]:
    """The clients of `_clients.yaml`, with the version of each that was examined."""
    return parse_clients(read_entries(read_packaged_text("_clients"), "_clients.yaml"))


def read_packaged_text(name: str) -> str:
    """The text of the packaged file `name`.yaml; FileNotFoundError if there is no such file."""
    return (files("stacker.architectures") / f"{name}.yaml").read_text(encoding="utf-8")


def _find_family(model_type: str) -> str | None:
    """The name of the architecture file that lists a model type; None if no file lists it.

    If there is a file with the name of the model type, that file is searched first.
    """
    known = list_families()
    ordered = sorted(known, key=lambda name: name != model_type)
    return next((name for name in ordered if model_type in _model_types(name)), None)


@cache
def _model_types(name: str) -> frozenset[str]:
    found = _MODEL_TYPES.search(read_packaged_text(name))
    return frozenset(found[1].replace(",", " ").split()) if found else frozenset()
