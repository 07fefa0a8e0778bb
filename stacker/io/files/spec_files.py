"""Reads and writes spec files without parsing them, and finds the recipes (example specs) packaged with stacker."""

from __future__ import annotations

import shutil
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from stacker.errors import Mark, SpecError, StorageError, did_you_mean
from stacker.io.disk.storage import explain_errors
from stacker.io.files.paths import is_file, is_folder, list_folder, resolve_links

MAX_SPEC_BYTES = 1_000_000
STANDARD_INPUT = "-"


def find_spec_file(path: Path) -> Path:
    """The spec file that a user means: a file, the spec in the folder of a finished output, or a recipe by its name.

    A path that is none of these is returned unchanged, so that reading it says what is wrong.
    """
    if str(path) == STANDARD_INPUT or is_file(path):
        return path
    if is_folder(path):
        from stacker.core.plan.plan_json import SPEC

        return path / SPEC if is_file(path / SPEC) else path
    return find_recipe(str(path)) if str(path) in list_recipes() else path


def read_spec_file(path: Path) -> bytes:
    """Read a spec file, or standard input if `path` is `-`; SpecError when the file cannot be read.

    At most one byte more than a spec may have is read, so that the parser can refuse a longer spec.
    """
    if str(path) == STANDARD_INPUT:
        return sys.stdin.buffer.read(MAX_SPEC_BYTES + 1)
    try:
        with path.open("rb") as file:
            return file.read(MAX_SPEC_BYTES + 1)
    except FileNotFoundError as error:
        raise SpecError.of("there is no such file", _suggest_file(path), Mark(str(path))) from error
    except IsADirectoryError as error:
        raise SpecError.of("this is a folder", "name the spec file in it", Mark(str(path))) from error
    except OSError as error:
        raise SpecError.of(f"cannot read this file: {error.strerror}", "", Mark(str(path))) from error
    except ValueError as error:
        raise SpecError.of(f"cannot read this file: {error}", "", Mark(str(path))) from error


def write_spec_file(path: Path, text: str) -> None:
    """Write a spec to a file; StorageError when that fails."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError.of(f"cannot write this file: {error.strerror}", "", Mark(str(path))) from error
    except UnicodeEncodeError as error:  # the name of a donor's folder, as the system gave it
        hint = "rename the folder, or give it a link with another name"
        raise SpecError.of("a spec cannot name a folder whose name is not UTF-8", hint, Mark(str(path))) from error


def replace_spec_file(path: Path, text: bytes) -> None:
    """Replace the text of a spec file in one step; permissions and links stay. StorageError when that fails."""
    target = resolve_links(path, SpecError)
    with explain_errors(path), tempfile.NamedTemporaryFile(dir=target.parent, prefix=".", delete=False) as file:
        try:
            file.write(text)
            file.close()
            shutil.copymode(target, file.name)
            Path(file.name).replace(target)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def _suggest_file(path: Path) -> str:
    """A hint for a spec file that does not exist: how to get the recipe of that name, or a similar name beside it.

    Without either, it says where specs come from.
    """
    name = path.name.removesuffix(".yaml").removesuffix(".yml")
    if name in list_recipes():
        return f"that is a recipe: `stacker recipes {name}` shows it, `stacker new {name} -o {name}.yml` writes it"
    folder = path.parent
    beside = list_folder(folder, SpecError) if is_folder(folder, SpecError) else ()
    names = [name for name in beside if name.endswith((".yml", ".yaml"))]
    close = did_you_mean(path.name, names)
    if close.startswith("did"):
        return close
    return "`stacker new RECIPE -o FILE` writes a spec, and `stacker recipes` lists the recipes"


_SUFFIX = ".yaml"


def list_recipes() -> tuple[str, ...]:
    """The names of all recipes that are packaged with stacker, sorted."""
    names = (entry.name for entry in files("stacker.slices").iterdir())
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)))


def find_recipe(name: str) -> Path:
    """The path of the spec file of a packaged recipe; SpecError when no recipe has this name."""
    known = list_recipes()
    if name not in known:
        raise SpecError.of(f"there is no recipe '{name}'", did_you_mean(name, known))
    return Path(str(files("stacker.slices") / f"{name}{_SUFFIX}"))
