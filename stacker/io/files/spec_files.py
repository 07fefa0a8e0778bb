"""Spec files as bytes; what they say is for `stacker.spec`."""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path

from stacker.errors import Mark, SpecError, StorageError, did_you_mean

MAX_SPEC_BYTES = 1_000_000
STANDARD_INPUT = "-"


def read_spec_file(path: Path) -> bytes:
    """The bytes of a spec file, or of standard input for `-`; SpecError when there is no such file or it is no spec."""
    if str(path) == STANDARD_INPUT:
        return sys.stdin.buffer.read(MAX_SPEC_BYTES + 1)
    try:
        with path.open("rb") as file:
            return file.read(MAX_SPEC_BYTES + 1)
    except FileNotFoundError as error:
        raise SpecError.of("there is no such file", _neighbour(path), Mark(str(path))) from error
    except IsADirectoryError as error:
        raise SpecError.of("this is a folder", "name the spec file in it", Mark(str(path))) from error
    except OSError as error:
        raise SpecError.of(f"cannot read this file: {error.strerror}", "", Mark(str(path))) from error


def write_spec_file(path: Path, text: str) -> None:
    """A spec as a file; StorageError when it cannot be written."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError.of(f"cannot write this file: {error.strerror}", "", Mark(str(path))) from error


def _neighbour(path: Path) -> str:
    """A hint at a recipe of that name, or at a spec in the same folder whose name is close."""
    name = path.name.removesuffix(".yaml").removesuffix(".yml")
    if name in list_recipes():
        return f"that is a recipe: `stacker recipes {name}` shows it, `stacker new {name} -o {name}.yml` writes it"
    names = [each.name for suffix in ("*.yml", "*.yaml") for each in path.parent.glob(suffix)]
    return did_you_mean(path.name, names) if names else ""


_SUFFIX = ".yaml"


def list_recipes() -> tuple[str, ...]:
    """The names of all recipes, sorted."""
    names = (entry.name for entry in files("stacker.slices").iterdir())
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)))


def find_recipe(name: str) -> Path:
    """The file of a recipe; SpecError where there is none of that name."""
    known = list_recipes()
    if name not in known:
        raise SpecError.of(f"there is no recipe '{name}'", did_you_mean(name, known))
    return Path(str(files("stacker.slices") / f"{name}{_SUFFIX}"))
