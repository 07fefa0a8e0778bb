"""Finds the licences of donors in their configs or model cards, and refuses those that a search may not use."""

from __future__ import annotations

import re
from collections.abc import Iterator

from stacker.compose import Stack
from stacker.core.values.donor import Donor
from stacker.errors import Problem, StackerError, raise_problems
from stacker.io.donors.location import open_donor
from stacker.spec.language.stack_spec import DonorSpec

_HEAD = re.compile(r"\A---\s*\n(.*?)^---\s*$", re.DOTALL | re.MULTILINE)
_LICENCE = re.compile(r"^license:\s*[\"']?([\w.+-]+)", re.MULTILINE)
_LONGEST = 1_000_000


def check_licences(stack: Stack, allowed: tuple[str, ...]) -> None:
    """Raise a SpecError that lists each donor whose licence is not among `allowed`; nothing is checked without any."""
    if allowed:
        raise_problems(_find_problems(stack, {each.lower() for each in allowed}))


def _find_problems(stack: Stack, allowed: set[str]) -> Iterator[Problem]:
    for spec in stack.spec.donors:
        if spec.stack is None:
            licence = find_licence(stack, spec, stack.donors[spec.name])
            if licence is None:
                hint = "allow only donors that you know, or state it in the donor's README.md: license: …"
                yield Problem(f"donor '{spec.name}' states no licence", hint, spec.mark)
            elif licence.lower() not in allowed:
                yield Problem(f"donor '{spec.name}' has the licence {licence}", "leave it out, or allow it", spec.mark)


def find_licence(stack: Stack, spec: DonorSpec, donor: Donor) -> str | None:
    """The licence that a donor's config or model card states; None if neither does."""
    stated = donor.config.get("license")
    if isinstance(stated, str):
        return stated
    try:
        card = open_donor(spec, stack.folder, stack.spec.dialect).read("README.md", _LONGEST)
    except StackerError:
        return None
    head = _HEAD.match(card.decode(errors="replace").replace("\r\n", "\n"))
    found = _LICENCE.search(head[1]) if head else None
    return found[1] if found else None
