"""The recipes that ship with stacker: published stacks, one spec a file. What they say is for `stacker.spec`."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from stacker.errors import SpecError, did_you_mean

_SUFFIX = ".yaml"


def recipe_names() -> tuple[str, ...]:
    """The names of all recipes, sorted."""
    names = (entry.name for entry in files("stacker.slices").iterdir())
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)))


def recipe_path(name: str) -> Path:
    """The file of a recipe; SpecError where there is none of that name."""
    known = recipe_names()
    if name not in known:
        raise SpecError.of(f"there is no recipe '{name}'", did_you_mean(name, known))
    return Path(str(files("stacker.slices") / f"{name}{_SUFFIX}"))
