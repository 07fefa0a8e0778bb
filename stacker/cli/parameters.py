"""Reads `-p NAME=VALUE`, which sets the parameters of specs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from stacker.errors import Problem, SpecError, did_you_mean, escape_text
from stacker.io.files.paths import is_folder

Given = Mapping[str, str]
STANDARD_INPUT = "-"


def parse_assignments(words: Sequence[str] | None) -> dict[str, str]:
    """Values by name from words such as `cut=12`; SpecError for words of another form, and for a name that comes twice.

    The values stay text, because what a parameter takes decides what they are.
    """
    found: dict[str, str] = {}
    problems = []
    for word in words or ():
        name, equals, value = (part.strip() for part in word.partition("="))
        if not equals or not value or not (name.isascii() and name.isidentifier()):
            problems.append(Problem(f"'{escape_text(word)}' is not NAME=VALUE", "for instance: -p cut=12"))
        elif name in found:
            problems.append(Problem(f"-p sets '{name}' twice", "keep one of the two"))
        found[name] = value
    if problems:
        raise SpecError(*problems)
    return found


def share_assignments(sources: Sequence[str], words: Sequence[str] | None) -> list[Given]:
    """For each source the values of `-p` that it takes: of several specs, those that declare a parameter of that name.

    SpecError if no spec declares it. A single spec gets all values, and reports those that it does not know.
    """
    given = parse_assignments(words)
    if not given:
        return [{} for _ in sources]
    if len(sources) == 1 and is_spec(sources[0]):
        return [given]
    declared = [_list_names(source) for source in sources]
    known = {name for names in declared for name in names}
    missing = [name for name in given if name not in known]
    problems = [Problem(f"no spec has a parameter '{name}'", _advise(name, known)) for name in missing]
    if problems:
        raise SpecError(*problems)
    return [{name: value for name, value in given.items() if name in names} for names in declared]


def _advise(name: str, known: set[str]) -> str:
    return did_you_mean(name, known) if known else "-p sets what a spec declares under 'parameters'"


def is_spec(source: str) -> bool:
    """Whether a source is a spec, as a file or on standard input, and not the folder or hub id of a donor."""
    return source == STANDARD_INPUT or (Path(source).suffix in (".yml", ".yaml") and not is_folder(Path(source)))


def _list_names(source: str) -> tuple[str, ...]:
    """The parameters that a source declares; none for donors and standard input, which can be read only once."""
    from stacker.io.files.spec_files import read_spec_file
    from stacker.spec.parser import list_parameters

    if source == STANDARD_INPUT or not is_spec(source):
        return ()
    return tuple(each.name for each in list_parameters(read_spec_file(Path(source)), source))
