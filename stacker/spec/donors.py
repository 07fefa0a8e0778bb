"""Where a donor comes from, as text: a folder, a hub id, a hub id@revision. Whether it exists is not known here."""

from __future__ import annotations

import re

from stacker.errors import Mark, SpecError
from stacker.spec.model import DonorSpec
from stacker.text.node import shorten

_HUB = re.compile(r"(?P<id>[A-Za-z0-9][\w.-]*(?:/[\w.-]+)?)@(?P<revision>[\w./-]+)")
_PLAIN = re.compile(r"[^A-Za-z0-9_.-]+")
_URL = re.compile(r"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/(?P<id>[\w.-]+/[\w.-]+)/?")


def parse_source(name: str, source: str, mark: Mark | None) -> DonorSpec:
    """A donor from the text of its source; a revision after '@' is split off only where the rest can be a hub id."""
    if not source.strip():
        raise SpecError.of(f"donor '{name}' has an empty source", "write a folder or a hub id", mark)
    if "://" in source:
        hub = _URL.fullmatch(source)
        hint = f"write {hub['id']}" if hub else "write a folder or a hub id such as org/name"
        raise SpecError.of(f"donor '{name}' is an address: {shorten(source)}", hint, mark)
    if not source.isprintable():
        raise SpecError.of(f"the source of donor '{name}' has control characters", "", mark)
    hub = _HUB.fullmatch(source)
    if hub:
        return DonorSpec(name, hub["id"], hub["revision"], mark=mark)
    return DonorSpec(name, source, mark=mark)


def shown_source(donor: DonorSpec) -> str:
    """The source of a donor as one text."""
    return f"{donor.source}@{donor.revision}" if donor.revision else str(donor.source)


def short_name(source: str, taken: set[str]) -> str:
    """A donor name made of the last part of a source, not among those taken."""
    last = source.rstrip("/").rpartition("/")[2]
    name = _PLAIN.sub("-", last).strip("-") or "donor"
    numbered = (name if count == 1 else f"{name}-{count}" for count in range(1, len(taken) + 2))
    return next(candidate for candidate in numbered if candidate not in taken)
