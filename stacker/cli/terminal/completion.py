"""What the shell offers after a tab. Only names are looked at, so that an answer comes at once."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

_CACHED = "models--"


def complete_recipe(incomplete: str) -> list[str]:
    """Recipes and generators."""
    from stacker.io.files.spec_files import list_recipes
    from stacker.spec.generators import GENERATORS

    return _beginning((*list_recipes(), *GENERATORS), incomplete)


def complete_op(incomplete: str) -> list[str]:
    """Blend ops."""
    from stacker.ops.table import OPS

    return _beginning(OPS, incomplete)


def complete_architecture(incomplete: str) -> list[str]:
    """Families that are known as data."""
    from stacker.arch.families import list_families

    return _beginning(list_families(), incomplete)


def complete_reference(incomplete: str) -> list[str]:
    """Reference configs for `like`."""
    from stacker.io.donors.location import packaged_references

    return _beginning(packaged_references(), incomplete)


def complete_donor(incomplete: str) -> list[str]:
    """Folders that hold a config.json, folders on the way to one, and hub ids in the cache."""
    return [*_folders(incomplete), *_beginning(_cached(), incomplete)]


def complete_named_donor(incomplete: str) -> list[str]:
    """The same after `name=`."""
    name, equals, source = incomplete.partition("=")
    return [f"{name}={each}" for each in complete_donor(source)] if equals else []


def _folders(incomplete: str) -> list[str]:
    parent, begin = os.path.split(incomplete)
    try:
        entries = sorted(Path(parent or ".").iterdir())
    except OSError:
        return []
    shown = [entry for entry in entries if entry.name.startswith(begin) and not entry.name.startswith(".")]
    return [
        str(Path(parent) / entry.name) + ("" if (entry / "config.json").exists() else "/")
        for entry in shown
        if entry.is_dir()
    ]


def _cached() -> list[str]:
    """Hub ids in the cache, told by the names of its folders; where it is, huggingface_hub's own variables say."""
    home = os.environ.get("HF_HOME", "~/.cache/huggingface")
    folder = Path(os.environ.get("HF_HUB_CACHE", f"{home}/hub")).expanduser()
    try:
        names = [entry.name for entry in folder.iterdir()]
    except OSError:
        return []
    return sorted(name.removeprefix(_CACHED).replace("--", "/") for name in names if name.startswith(_CACHED))


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
