"""Refuses to write an output over a file that a command reads, over a file of a model, or over another output."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import combinations
from pathlib import Path

from stacker.errors import Problem, SpecError, StackerError, attempt, raise_problems
from stacker.io.disk.storage import explain_errors
from stacker.io.files.paths import is_file, is_folder, is_same_file, read_status, resolve_links
from stacker.io.files.spec_files import find_spec_file, read_spec_file

_STANDARD = "-"
_HINT = "name another file"
_BEGINNINGS = {"--svg": ("a drawing", (b"<svg", b"<?xml")), "--html": ("a page", (b"<!doctype html", b"<html"))}
"""How files begin that a picture may replace, by option."""
_LONGEST_BEGINNING = 64
_WEIGHTS = (".safetensors", ".gguf", ".bin", ".pt", ".pth")
_CHECKPOINT = ("config.json", "adapter_config.json", "model.safetensors", "model.safetensors.index.json")
"""Files by which a folder is recognised as that of a model or an adapter."""


def check_outputs(outputs: Mapping[str, Path | None], inputs: Iterable[str | Path]) -> None:
    """Raise a SpecError if an output would replace an input or a file of a model, or if two outputs are the same file.

    `outputs` maps options, such as `--svg`, to the paths given with them. A `-` is a standard stream, and no file. The
    specs that a spec names as its donors are inputs, too. StorageError if an output is a folder or would be in a folder
    that does not exist, before any work is done for it. All that is wrong is raised together.
    """
    files = {option: path for option, path in outputs.items() if path is not None and str(path) != _STANDARD}
    read = [path for each in inputs if files and str(each) != _STANDARD for path in _list_specs(Path(each), ())]
    problems = [*_find_clashes(files, [*dict.fromkeys(read)]), *_find_foreign_files(files)]
    for path in files.values():
        attempt(problems, partial(_check_place, path))
    raise_problems(problems)


def _check_place(path: Path) -> None:
    with explain_errors(path):
        if is_folder(path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not is_folder(path.parent):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


def _list_specs(path: Path, opened: tuple[Path, ...]) -> Iterator[Path]:
    """Yield a file that a command reads, and, if it is a spec, the specs that it names as donors, also of these."""
    yield path
    with suppress(StackerError):  # the command itself says what is wrong with the spec
        found = find_spec_file(path)
        yield found
        if found in opened or found.suffix not in (".yml", ".yaml") or not is_file(found):
            return
        from stacker.spec.parser import parse_spec

        for donor in parse_spec(read_spec_file(found), str(found)).donors:
            if donor.stack:
                yield from _list_specs(found.parent / donor.stack, (*opened, found))


def _find_clashes(files: Mapping[str, Path], read: Iterable[Path]) -> Iterator[Problem]:
    for option, path in files.items():
        for source in read:
            if is_same_file(path, source, SpecError):
                yield Problem(f"{option} {path} would replace {source}, which this command reads", _HINT)
                break
    for (one, path), (other, there) in combinations(files.items(), 2):
        if resolve_links(path, SpecError) == resolve_links(there, SpecError):
            yield Problem(f"{one} {path} and {other} {there} are the same file", _HINT)


def _find_foreign_files(files: Mapping[str, Path]) -> Iterator[Problem]:
    """Yield a problem for each output that would replace a file of a model, or a picture that replaces no picture."""
    for option, path in files.items():
        status = read_status(path, SpecError)
        if status is None or not stat.S_ISREG(status.st_mode) or not status.st_size:
            continue
        kind, beginnings = _BEGINNINGS.get(option, ("", ()))
        if kind and not _read_beginning(path).startswith(beginnings):
            yield Problem(f"{option} {path} would replace a file that is not {kind}", _HINT)
        elif not kind and option != "--log" and _is_of_model(path):
            yield Problem(f"{option} {path} would replace a file of a model", _HINT)


def _read_beginning(path: Path) -> bytes:
    """The first bytes of a file in lower case; none if it cannot be read."""
    with suppress(OSError), path.open("rb") as file:
        return file.read(_LONGEST_BEGINNING).lstrip().lower()
    return b""


def _is_of_model(path: Path) -> bool:
    place = resolve_links(path, SpecError)
    return place.suffix in _WEIGHTS or any(is_file(place.parent / name) for name in _CHECKPOINT)
