"""Refuses to write an output over a file that a command reads, or over another of its outputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import combinations
from pathlib import Path

from stacker.errors import Blame, Mark, Problem, SpecError, attempt, raise_problems
from stacker.io.files.paths import is_folder, is_same_file, resolve_links

_STANDARD = "-"
_HINT = "name another file"


def check_outputs(outputs: Mapping[str, Path | None], inputs: Iterable[str | Path]) -> None:
    """Raise a SpecError if an output would replace an input, or if two outputs are the same file.

    `outputs` maps options, such as `--svg`, to the paths given with them. A `-` is a standard stream, and no file.
    """
    files = {option: path for option, path in outputs.items() if path is not None and str(path) != _STANDARD}
    read = [*dict.fromkeys(Path(each) for each in inputs if str(each) != _STANDARD)]
    raise_problems(_find_clashes(files, read))


def _find_clashes(files: Mapping[str, Path], read: Iterable[Path]) -> Iterator[Problem]:
    for option, path in files.items():
        for source in read:
            if is_same_file(path, source, SpecError):
                yield Problem(f"{option} {path} would replace {source}, which this command reads", _HINT)
    for (one, path), (other, there) in combinations(files.items(), 2):
        if resolve_links(path, SpecError) == resolve_links(there, SpecError):
            yield Problem(f"{one} {path} and {other} {there} are the same file", _HINT)


def check_late_outputs(outputs: Mapping[str, Path | None], inputs: Iterable[str | Path]) -> None:
    """As `check_outputs`, for files that are written after long work: their folders must exist too.

    StorageError or SpecError lists all that is wrong.
    """
    problems: list[Problem] = []
    attempt(problems, partial(check_outputs, outputs, inputs))
    for option, path in outputs.items():
        if path is not None and not is_folder(path.absolute().parent):
            message = f"{option}: there is no folder {path.parent}"
            problems.append(Problem(message, "make it first", Mark(str(path)), blame=Blame.STORAGE))
    raise_problems(problems)
