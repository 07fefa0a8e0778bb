"""Completes arguments and options in the shell.

Only names are listed and no file is read, so that the shell need not wait.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

_PREFIX = "models--"


def complete_recipe(incomplete: str) -> list[str]:
    """Names of recipes and generators that begin with `incomplete`."""
    from stacker.io.files.spec_files import list_recipes
    from stacker.spec.generators import GENERATORS

    return _filter((*list_recipes(), *GENERATORS), incomplete)


def complete_op(incomplete: str) -> list[str]:
    """Names of blend ops that begin with `incomplete`."""
    from stacker.ops.table import OPS

    return _filter(OPS, incomplete)


def complete_architecture(incomplete: str) -> list[str]:
    """Names of architecture families that begin with `incomplete`."""
    from stacker.arch.families import list_families

    return _filter(list_families(), incomplete)


def complete_reference(incomplete: str) -> list[str]:
    """Names of packaged reference configs that begin with `incomplete`, for the option `--like`."""
    from stacker.io.donors.location import packaged_references

    return _filter(packaged_references(), incomplete)


def complete_donor(incomplete: str) -> list[str]:
    """Folders, and hub ids of cached models, that begin with `incomplete`.

    A folder that has no config.json ends in a slash.
    """
    return [*_list_folders(incomplete), *_filter(_list_cached(), incomplete)]


def complete_named_donor(incomplete: str) -> list[str]:
    """Completions of `name=source`, in which the source is a folder or a hub id.

    The list is empty until the equals sign is typed.
    """
    name, equals, source = incomplete.partition("=")
    return [f"{name}={completed}" for completed in complete_donor(source)] if equals else []


def _list_folders(incomplete: str) -> list[str]:
    parent, begin = os.path.split(incomplete)
    try:
        entries = sorted(Path(parent or ".").iterdir())
    except OSError:
        return []
    candidates = [entry for entry in entries if entry.name.startswith(begin) and not entry.name.startswith(".")]
    return [
        str(Path(parent) / entry.name) + ("" if (entry / "config.json").exists() else "/")
        for entry in candidates
        if entry.is_dir()
    ]


def _list_cached() -> list[str]:
    """Hub ids of the models in the hub's local cache.

    The environment variable HF_HUB_CACHE or HF_HOME can set the cache's folder.
    """
    home = os.environ.get("HF_HOME", "~/.cache/huggingface")
    folder = Path(os.environ.get("HF_HUB_CACHE", f"{home}/hub")).expanduser()
    try:
        names = [entry.name for entry in folder.iterdir()]
    except OSError:
        return []
    return sorted(name.removeprefix(_PREFIX).replace("--", "/") for name in names if name.startswith(_PREFIX))


def _filter(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
