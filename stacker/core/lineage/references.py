"""Finds the checkpoints that a checkpoint says it was made from, in the contents of its small files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from stacker.formats.model_card import Card

_LONGEST = 300
"""A source longer than this many characters is no source."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A checkpoint that another one names: `source` is a hub id or a path, `relation` how the other one came from it.

    `found` is a folder where the checkpoint was when the other one was made, relative to the other one's folder.
    """

    source: str
    relation: str
    revision: str | None = None
    found: str | None = None
    licence: str | None = None


@dataclass(frozen=True, slots=True)
class Papers:
    """The contents of the small files that tell where a checkpoint comes from; what is missing is empty or None."""

    lock: Mapping[str, Any] = field(default_factory=dict)
    merge: Any = None
    adapter: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    card: Card = field(default_factory=Card)


def find_references(papers: Papers) -> tuple[Reference, ...]:
    """The checkpoints that some papers name, each once, with what the most exact of the papers says about it.

    In order of exactness: stacker's lock file, mergekit's config, an adapter's base, the card, the config.
    """
    found: dict[str, Reference] = {}
    for reference in _list_references(papers):
        if 0 < len(reference.source) <= _LONGEST and reference.source.isprintable():
            found.setdefault(reference.source, reference)
    return tuple(found.values())


def _list_references(papers: Papers) -> Iterator[Reference]:
    yield from _read_lock(papers.lock)
    for text in _find_models(papers.merge):
        source, _, adapter = text.partition("+")
        name, _, revision = source.partition("@")
        yield Reference(name, "merged from", revision or None)
        if adapter:
            yield Reference(adapter, "merged from, an adapter")
    base = papers.adapter.get("base_model_name_or_path")
    if isinstance(base, str):
        commit = papers.adapter.get("revision")
        yield Reference(base, "adapter of", commit if isinstance(commit, str) else None)
    relation = papers.card.metadata.get("base_model_relation")
    for name in papers.card.base_models():
        yield Reference(name, _RELATIONS.get(str(relation), "based on"))
    origin = papers.config.get("_name_or_path")
    if isinstance(origin, str):
        yield Reference(origin, "saved from")


_RELATIONS = {
    "merge": "merged from",
    "finetune": "fine-tuned from",
    "adapter": "adapter of",
    "quantized": "quantised from",
}
"""What the hub's values of `base_model_relation` mean."""


def _read_lock(lock: Mapping[str, Any]) -> Iterator[Reference]:
    """The donors in stacker's lock file; nothing where it is damaged."""
    plan = lock.get("plan")
    donors = plan.get("donors") if isinstance(plan, dict) else None
    for donor in donors if isinstance(donors, list) else []:
        if isinstance(donor, dict) and isinstance(donor.get("source"), str) and donor.get("files"):
            revision, found = donor.get("revision"), donor.get("found")
            yield Reference(
                donor["source"],
                "layers from",
                revision if isinstance(revision, str) else None,
                found if isinstance(found, str) else None,
            )


def _find_models(value: Any, depth: int = 0) -> Iterator[str]:
    """The sources under `model` and `base_model` at any depth of a file of mergekit."""
    if depth > 20:
        return
    if isinstance(value, list):
        for each in value:
            yield from _find_models(each, depth + 1)
    if isinstance(value, dict):
        for key, each in value.items():
            if key in ("model", "base_model"):
                path = each.get("model", each) if isinstance(each, dict) else each
                path = path.get("path") if isinstance(path, dict) else path
                if isinstance(path, str):
                    yield path
            else:
                yield from _find_models(each, depth + 1)
