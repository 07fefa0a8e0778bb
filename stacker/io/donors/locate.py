"""From what a spec calls a donor to its files: a folder here, or a repository of the hub."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from stacker.arch.families import packaged_text
from stacker.errors import DonorError, Mark, SpecError, StackerError, did_you_mean, shown
from stacker.formats.json_object import MOST_BYTES, Json, parse_object
from stacker.io.files.repository import FolderRepository, Repository
from stacker.spec.language.stack_spec import Dialect, DonorSpec
from stacker.text.node import to_data
from stacker.text.yaml import read_yaml

_PATH = re.compile(r"[./~\\]|[A-Za-z]:|[^/]*/[^/]*/")
"""What begins like a path, or has more slashes than a hub id."""


def open_donor(spec: DonorSpec, folder: Path, dialect: Dialect) -> Repository:
    """The files of a donor; relative folders start at `folder` (the spec's), for mergekit at the current one first.

    A folder that is there wins over a hub id of the same name. DonorError when there is neither.
    """
    source = str(spec.source)
    places = _places(source, folder, dialect)
    # What was split at an '@' may be the name of a folder.
    whole = _places(f"{source}@{spec.revision}", folder, dialect) if spec.revision else ()
    found = next((place for place in (*whole, *places) if place.is_dir()), None)
    if found:
        return FolderRepository(found)
    if _PATH.match(source) or any(place.exists() for place in places):
        raise _not_here(spec, places)
    return _on_hub(spec, source, places)


def is_here(spec: DonorSpec, folder: Path, dialect: Dialect) -> bool:
    """Whether a donor is a folder of this machine."""
    names = (str(spec.source), *((f"{spec.source}@{spec.revision}",) if spec.revision else ()))
    return any(place.is_dir() for name in names for place in _places(name, folder, dialect))


def _places(source: str, folder: Path, dialect: Dialect) -> Sequence[Path]:
    path = Path(source)
    if source.startswith("~"):
        path = path.expanduser()
    bases = (Path(), folder) if dialect is Dialect.MERGEKIT else (folder,)
    return tuple(dict.fromkeys(base / path for base in bases))


def _not_here(spec: DonorSpec, places: Sequence[Path]) -> DonorError:
    looked = " or ".join(f"'{shown(str(place))}'" for place in places)
    if any(place.exists() for place in places):
        return DonorError.of(f"donor '{spec.name}' is a file: {looked}", "a donor is a folder, or a hub id", spec.mark)
    beside = [entry.name for place in places if place.parent.is_dir() for entry in place.parent.iterdir()]
    hint = did_you_mean(places[0].name, beside) if beside else ""
    hint = hint if hint.startswith("did") else "a relative folder is looked up from the spec's own"
    return DonorError.of(f"there is no donor '{spec.name}' at {looked}", hint, spec.mark)


def _on_hub(spec: DonorSpec, source: str, places: Sequence[Path]) -> Repository:
    from stacker.io.hub.repository import open_hub

    try:
        return open_hub(source, spec.revision)
    except StackerError as error:
        looked = ", ".join(f"'{shown(str(place))}'" for place in places)
        aside = f"no folder is at {looked} either"
        problems = [
            replace(each, mark=each.mark or spec.mark, hint="\n".join(filter(None, (each.hint, aside))))
            for each in error.problems
        ]
        raise type(error)(*problems) from error


def mark_in(repository: Repository, name: str) -> Mark:
    """The place of a donor's file, for messages."""
    return Mark(f"{repository.source}/{name}")


_PACKAGED = "_references"


def read_reference(spec: DonorSpec, folder: Path) -> dict[str, Json]:
    """The config that `like` names: a folder that has one, a config.json, or one that ships with stacker."""
    like = str(spec.like)
    place = folder / Path(like).expanduser()
    if place.is_dir():
        return parse_object(FolderRepository(place).read("config.json", MOST_BYTES), place / "config.json")
    if place.exists():
        return parse_object(FolderRepository(place.parent).read(place.name, MOST_BYTES), place)
    packaged = packaged_references()
    if like in packaged:
        return packaged[like]
    message = f"there is no reference config '{shown(like)}' for donor '{spec.name}'"
    raise SpecError.of(message, did_you_mean(like, packaged), spec.mark)


def packaged_references() -> dict[str, dict[str, Json]]:
    """The configs that ship with stacker, by name."""
    table = to_data(read_yaml(packaged_text(_PACKAGED), f"{_PACKAGED}.yaml"))
    assert isinstance(table, dict)
    return {name: dict(config) for name, config in table.items() if isinstance(config, dict)}
