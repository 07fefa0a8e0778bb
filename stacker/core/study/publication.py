"""What the card of a stack must say before the stack is published: the donors it is made of, and a licence."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from stacker.errors import Problem, escape_text
from stacker.formats.model_card import Card

_MODEL = re.compile(r"(?!.*(?:--|\.\.))\w[\w.-]*/\w(?:[\w.-]{0,94}\w)?", re.ASCII)
_LICENCE = re.compile(r"[a-z0-9](?:[a-z0-9.+-]{0,62}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Origin:
    """A donor as a card names it: its name in the spec, its hub id (None for a folder), and its licence if known."""

    name: str
    hub_id: str | None
    licence: str | None


def check_options(bases: Sequence[str], licence: str | None) -> Iterator[Problem]:
    """Yield what is wrong with the form of hub ids of base models, and of the id of a licence."""
    for base in bases:
        if not _MODEL.fullmatch(base):
            yield Problem(f"--base-model: '{escape_text(base)}' is not owner/name", "write the model's id on the hub")
    if licence is not None and not _LICENCE.fullmatch(licence):
        hint = "write its id on the hub, such as apache-2.0, llama2 or other"
        yield Problem(f"--license: '{escape_text(licence)}' is not the id of a licence", hint)


def complete_card(card: Card, origins: Sequence[Origin], bases: Sequence[str], licence: str | None) -> Card:
    """Add what the card lacks: `base_model` with all donors on the hub and `bases`, `base_model_relation`, a licence.

    `bases` and `licence` replace what the card says. Without them it is kept, and a missing licence is that of the
    donors if all have the same.
    """
    kept = () if bases else card.base_models()
    known = dict.fromkeys([*kept, *(each.hub_id for each in origins if each.hub_id), *bases])
    chosen = licence or card.metadata.get("license") or _find_common_licence(origins)
    metadata = dict(card.metadata)
    if known:
        metadata |= {"base_model": list(known), "base_model_relation": "merge"}
    if chosen:
        metadata["license"] = chosen
    return replace(card, metadata=metadata)


def _find_common_licence(origins: Sequence[Origin]) -> str | None:
    licences = {origin.licence for origin in origins}
    return licences.pop() if len(licences) == 1 else None


def check_card(card: Card, origins: Sequence[Origin]) -> Iterator[Problem]:
    """Yield what a complete card still lacks: the donors' hub ids, or a licence where the donors' ones differ."""
    unnamed = [origin.name for origin in origins if origin.hub_id is None]
    if not card.base_models():
        message = f"no donor has a hub id: {', '.join(unnamed)} are folders"
        yield Problem(message, "name the models that they are: --base-model owner/name, once for each")
    if not card.metadata.get("license"):
        said = ", ".join(f"{each.name}: {escape_text(each.licence or 'unknown')}" for each in origins)
        message = f"the donors do not have one and the same known licence ({said})"
        yield Problem(message, "say which applies to the stack: --license apache-2.0, for example")


def list_changes(before: Card, after: Card) -> Mapping[str, object]:
    """The entries of a card's metadata that were added or changed."""
    return {key: value for key, value in after.metadata.items() if before.metadata.get(key) != value}
