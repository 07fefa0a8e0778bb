"""Reads all donors of a spec, also those that are themselves stacks, which are planned but not built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from stacker.core.values.donor import Donor
from stacker.errors import Problem, SpecError, StackerError
from stacker.io.donors.adapters import add_adapters
from stacker.io.donors.reader import ReadDonor
from stacker.io.donors.recorded import RecordedReader
from stacker.io.files.paths import exists, resolve_links
from stacker.io.files.spec_files import read_spec_file
from stacker.spec.language.stack_spec import DonorSpec, StackSpec

Paths = tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class NestedStack:
    """A stack as a donor, with the text of its spec; `nested` has the texts of the specs inside it, by path."""

    donor: Donor
    text: bytes
    nested: Mapping[str, str]


LoadNested = Callable[[DonorSpec, bytes, Path, Paths], NestedStack]
"""Loads a stack that is a donor, from the text of its spec, the spec's path, and the paths of the specs around it."""


def read_donors(
    spec: StackSpec, path: Path, opened: Paths, read: ReadDonor, load: LoadNested
) -> tuple[dict[str, Donor], dict[str, str], tuple[Problem, ...]]:
    """Read the donors of the spec at `path`.

    `opened` has the paths of the specs around this one. Returns the donors that can be read, by name; the text of the
    spec of each donor that is a stack, by path; and the problems of the other donors.
    """
    donors: dict[str, Donor] = {}
    nested: dict[str, str] = {}
    problems: list[Problem] = []
    for each in spec.donors:
        try:
            if each.stack:
                stacked = _read_stacked(each, path, opened, nested, read, load)
                donors[each.name] = add_adapters(stacked, each, path.parent, spec.dialect)
            else:
                donors[each.name] = read(each, path.parent, spec.dialect)
        except StackerError as error:
            problems += error.problems
    return donors, nested, tuple(problems)


def _read_stacked(
    each: DonorSpec, path: Path, opened: Paths, nested: dict[str, str], read: ReadDonor, load: LoadNested
) -> Donor:
    """Make a donor from a stack that is used as a donor; spec texts are added to `nested`, keyed by path."""
    if each.stage:
        return load(each, b"", path, opened).donor
    inner = path.parent / str(each.stack)
    chain = (*opened, resolve_links(path, SpecError))
    if resolve_links(inner, SpecError) in chain:
        names = " → ".join(step.name for step in (*chain, inner))
        raise SpecError.of(f"donor '{each.name}' is made of itself: {names}", "", each.mark)
    recorded = read.find_spec(each) if isinstance(read, RecordedReader) and not exists(inner) else None
    stack = load(each, read_spec_file(inner) if recorded is None else recorded, inner, chain)
    nested[str(each.stack)] = stack.text.decode()
    nested |= {f"{each.stack}/{name}": text for name, text in stack.nested.items()}
    return stack.donor
