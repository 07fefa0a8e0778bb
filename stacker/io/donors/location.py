"""Finds the files of a donor: the donor's source in the spec is a local folder or a repository on the hub."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from stacker.arch.families import read_packaged_text
from stacker.core.adapters.adapter import MARK
from stacker.errors import (
    Blame,
    DonorError,
    Mark,
    Problem,
    SpecError,
    StackerError,
    StorageError,
    did_you_mean,
    escape_text,
)
from stacker.formats.gguf_names import SUFFIX
from stacker.formats.json_object import MAX_JSON_BYTES, Json, parse_object
from stacker.io.files.paths import FAILED, exists, expand_home, is_file, is_folder, list_folder
from stacker.io.files.repository import FolderRepository, Repository
from stacker.io.files.selected_files import SEPARATOR, SelectedFiles
from stacker.io.output.journal import JOURNAL
from stacker.spec.language.stack_spec import Dialect, DonorSpec
from stacker.spec.language.value_grammar import is_address
from stacker.text.node import to_data
from stacker.text.yaml import read_yaml

_PATH = re.compile(r"[./~\\]|[A-Za-z]:|[^/]*/[^/]*/")
"""Matches sources that are paths, because they begin like a path or have more slashes than a hub id."""


def open_donor(spec: DonorSpec, folder: Path, dialect: Dialect) -> Repository:
    """Open the local folder that is a donor's source or, if there is no such folder, the hub repository of that name.

    Relative paths start at `folder`, the folder of the spec file; in mergekit's dialect, the current folder is tried
    first. DonorError when there is neither a folder nor a hub repository.
    """
    source = str(spec.source)
    if is_address(source):
        return _open_remote(spec, source, "")
    with _translate_path_errors(spec):
        paths = _candidate_paths(source, folder, dialect)
        found = _find_folder(spec, folder, dialect)
        if found and exists(found / JOURNAL):
            hint = "build it to the end first, with the command that began it: stacker build SPEC OUT"
            raise DonorError.of(f"donor '{spec.name}' is an output that is not finished: '{found}'", hint, spec.mark)
        if found:
            return FolderRepository(found)
        file = next((path for path in paths if path.name.endswith(SUFFIX) and is_file(path)), None)
        if file:
            return SelectedFiles(FolderRepository(file.parent), file.name)
        if is_path(source) or any(map(exists, paths)):
            raise _missing_donor(spec, paths)
    return _open_on_hub(spec, source, paths)


def is_path(source: str) -> bool:
    """Whether the source of a donor can only be a path, and not a hub id."""
    return _PATH.match(source) is not None and not is_address(source)


def is_local(spec: DonorSpec, folder: Path, dialect: Dialect) -> bool:
    """Whether the source of a donor is an existing folder on this machine.

    Relative paths start at `folder`; in mergekit's dialect, the current folder is tried first.
    """
    with _translate_path_errors(spec):
        paths = _candidate_paths(str(spec.source), folder, dialect)
        return _find_folder(spec, folder, dialect) is not None or any(map(is_file, paths))


@contextmanager
def _translate_path_errors(spec: DonorSpec) -> Iterator[None]:
    """Turn errors about paths in the `with` block (too long, not permitted, no home folder) into a DonorError."""
    try:
        yield
    except StorageError as error:
        problems = (
            Problem(
                f"cannot look up donor '{spec.name}': {each.message.removeprefix(FAILED)}",
                each.hint,
                spec.mark,
                blame=Blame.DONOR,
            )
            for each in error.problems
        )
        raise DonorError(*problems) from error


def _find_folder(spec: DonorSpec, folder: Path, dialect: Dialect) -> Path | None:
    # The name of a folder may contain '@', where a hub id has its revision.
    names = (*((f"{spec.source}@{spec.revision}",) if spec.revision else ()), str(spec.source))
    paths = (path for name in names for path in _candidate_paths(name, folder, dialect))
    return next((path for path in paths if is_folder(path)), None)


def _candidate_paths(source: str, folder: Path, dialect: Dialect) -> Sequence[Path]:
    """The local paths to try for the path `source` that a spec gives for a donor, in the order of trying.

    Relative paths start at `folder`; in mergekit's dialect, the current folder is tried before `folder`.
    """
    path = Path(source)
    if source.startswith("~"):
        path = expand_home(path)
    bases = (Path(), folder) if dialect is Dialect.MERGEKIT else (folder,)
    return tuple(dict.fromkeys(base / path for base in bases))


def _missing_donor(spec: DonorSpec, paths: Sequence[Path]) -> DonorError:
    """Make the error for a donor whose source is not an existing folder.

    The hint suggests a folder with a similar name, or says where relative paths start.
    """
    looked = " or ".join(f"'{escape_text(str(path))}'" for path in paths)
    if any(map(exists, paths)):
        return DonorError.of(
            f"donor '{spec.name}' is a file: {looked}", "a donor is a folder, a GGUF file, or a hub id", spec.mark
        )
    beside = [name for path in paths if is_folder(path.parent) for name in list_folder(path.parent)]
    hint = did_you_mean(paths[0].name, beside) if beside else ""
    hint = hint if hint.startswith("did") else "relative paths start at the folder of the spec file"
    what = "adapter" if MARK in spec.name else f"donor '{spec.name}'"
    return DonorError.of(f"there is no {what} at {looked}", hint, spec.mark)


def _open_on_hub(spec: DonorSpec, source: str, paths: Sequence[Path]) -> Repository:
    """Open the hub repository `source`; errors also say which local `paths` were tried."""
    looked = ", ".join(f"'{escape_text(str(path))}'" for path in paths)
    return _open_remote(spec, source, f"there is no folder at {looked} either")


def _open_remote(spec: DonorSpec, source: str, note: str) -> Repository:
    """Open a donor that is not on this machine; errors get the donor's place in the spec, and `note` as a hint."""
    try:
        return open_source(source, spec.revision)
    except StackerError as error:
        problems = [
            replace(problem, mark=problem.mark or spec.mark, hint="\n".join(filter(None, (problem.hint, note))))
            for problem in error.problems
        ]
        raise type(error)(*problems) from error


def open_source(source: str, revision: str | None) -> Repository:
    """Open the folder at an address in storage, a repository of the hub, or one GGUF file of it.

    The last is named `owner/name:file.gguf`.
    """
    if is_address(source):
        from stacker.io.storage.repository import open_storage

        return open_storage(source)
    from stacker.io.hub.repository import open_hub

    repo, _, file = source.partition(SEPARATOR)
    opened = open_hub(repo, revision)
    return SelectedFiles(opened, file) if file else opened


def mark_file(repository: Repository, name: str) -> Mark:
    """The Mark for messages about the file `name` of a donor: the donor's source and the file's name."""
    return Mark(f"{repository.source}/{name}")


_PACKAGED = "_references"


def read_reference(spec: DonorSpec, folder: Path) -> dict[str, Json]:
    """Read the config that `spec.like` names: a folder with a config.json, a JSON file, or a packaged config.

    Relative paths start at `folder`; SpecError when there is no such config.
    """
    like = str(spec.like)
    with _translate_path_errors(spec):
        path = folder / expand_home(Path(like))
        if is_folder(path):
            return parse_object(FolderRepository(path).read("config.json", MAX_JSON_BYTES), path / "config.json")
        if exists(path):
            return parse_object(FolderRepository(path.parent).read(path.name, MAX_JSON_BYTES), path)
    packaged = packaged_references()
    if like in packaged:
        return packaged[like]
    message = f"there is no reference config '{escape_text(like)}' for donor '{spec.name}'"
    raise SpecError.of(message, did_you_mean(like, packaged), spec.mark)


def packaged_references() -> dict[str, dict[str, Json]]:
    """Read the reference configs that are packaged with stacker; returns a dict from a config's name to its entries."""
    table = to_data(read_yaml(read_packaged_text(_PACKAGED), f"{_PACKAGED}.yaml"))
    assert isinstance(table, dict)
    return {name: dict(config) for name, config in table.items() if isinstance(config, dict)}
