"""Completes arguments and options in the shell.

Only names are listed and no file is read, so that the shell need not wait.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from stacker.errors import StackerError
from stacker.io.files.paths import exists, expand_home, is_folder, list_folder

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
    found = []
    with suppress(StackerError):
        for name in list_folder(Path(parent or ".")):
            entry = Path(parent) / name
            if name.startswith(begin) and not name.startswith(".") and is_folder(entry):
                found.append(str(entry) + ("" if exists(entry / "config.json") else "/"))
    return found


def _list_cached() -> list[str]:
    """Hub ids of the models in the hub's local cache.

    The environment variable HF_HUB_CACHE or HF_HOME can set the cache's folder.
    """
    home = os.environ.get("HF_HOME", "~/.cache/huggingface")
    try:
        names = list_folder(expand_home(Path(os.environ.get("HF_HUB_CACHE", f"{home}/hub"))))
    except StackerError:
        return []
    return [name.removeprefix(_PREFIX).replace("--", "/") for name in names if name.startswith(_PREFIX)]


def _filter(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
