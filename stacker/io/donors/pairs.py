"""Reads two donors that are given by folder or hub id, rather than in a spec, with their weights on this machine."""

from __future__ import annotations

from pathlib import Path

from stacker.core.values.donor import Donor
from stacker.errors import Mark, Problem, StackerError, raise_problems
from stacker.io.donors.local_files import fetch_donor
from stacker.io.donors.reader import read_donor
from stacker.spec.language.value_grammar import parse_source


def read_pair(first: tuple[str, str], second: tuple[str, str], command: str) -> tuple[Donor, Donor]:
    """Read two donors, each given as (name, source); the problems of both are raised together.

    Weights that are only on the hub are downloaded. `command` is named in errors, as the place of the sources.
    """
    found: list[Donor] = []
    problems: list[Problem] = []
    for name, source in (first, second):
        try:
            donor = read_donor(parse_source(name, source, Mark(command)), Path.cwd())
            found.append(fetch_donor(donor, [file.name for file in donor.files]))
        except StackerError as error:
            problems += error.problems
    raise_problems(problems)
    one, other = found
    return one, other
