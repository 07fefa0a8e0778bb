"""Reads the family tree of a checkpoint from the small files of its ancestors: folders, the hub's cache, the hub.

Weights are never read. What cannot be read is in the tree all the same, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from stacker.core.lineage.family_tree import Ancestor, State
from stacker.core.lineage.references import Papers, Reference, find_references
from stacker.core.plan.packing import LOCK_KEY
from stacker.core.plan.plan_json import LOCK
from stacker.errors import StackerError
from stacker.formats.gguf_names import SUFFIX
from stacker.formats.json_object import MANY_VALUES, MAX_JSON_BYTES, parse_object
from stacker.formats.model_card import Card
from stacker.io.donors.cards import read_card
from stacker.io.donors.gguf import read_text_entry
from stacker.io.donors.location import open_donor
from stacker.io.donors.weights import has_weights
from stacker.io.files.repository import Repository
from stacker.spec.language.stack_spec import Dialect, DonorSpec
from stacker.spec.language.value_grammar import is_address

MOST_ANCESTORS = 100
DEEPEST = 12
_MAX_LOCK_BYTES = 1 << 28
Open = Callable[[Reference, Path], Repository]


@dataclass(slots=True)
class _Reading:
    """What was read so far: the sources in the tree, with their revisions."""

    open: Open
    seen: set[tuple[str, str | None]] = field(default_factory=set)


def read_family_tree(source: str, folder: Path = Path()) -> Ancestor:
    """Read the family tree of a donor or output: a folder, or a hub id with or without `@revision`.

    Relative paths start at `folder`. DonorError when the checkpoint itself cannot be read; for its ancestors, the error
    is noted in the tree.
    """
    first = Reference(source, "")
    repository = _open(first, folder)
    return _read(replace(first, revision=repository.revision), repository, _Reading(_open), ())


def _open(reference: Reference, folder: Path) -> Repository:
    """Open a checkpoint that another one names, in the folder of the other one or on the hub."""
    if reference.found:
        with suppress(StackerError):
            return open_donor(DonorSpec(reference.source, reference.found), folder, Dialect.NATIVE)
    name, _, revision = reference.source.partition("@")
    spec = DonorSpec(name, name, reference.revision or revision or None)
    return open_donor(spec, folder, Dialect.NATIVE)


def _read(reference: Reference, repository: Repository, reading: _Reading, chain: tuple[str, ...]) -> Ancestor:
    papers = read_papers(repository)
    reading.seen.add((reference.source, reference.revision))
    own = (*chain, _identify(reference, repository))
    is_local = repository.revision is None and not is_address(repository.source)
    place = Path(repository.source)
    folder = (place.parent if place.suffix == SUFFIX else place) if is_local else None
    parents = tuple(
        _follow(each, folder, reading, own) for each in find_references(papers) if not _is_itself(each, reference)
    )
    return Ancestor(
        reference.source,
        reference.relation,
        repository.revision,
        papers.card.licence(),
        _name_kind(papers),
        parents=parents,
    )


def _is_itself(parent: Reference, child: Reference) -> bool:
    """Whether a config states its own place, as transformers does for models that were loaded from there."""
    return parent.relation == "saved from" and parent.source.rstrip("/") == child.source.rstrip("/")


def _follow(reference: Reference, folder: Path | None, reading: _Reading, chain: tuple[str, ...]) -> Ancestor:
    """Read an ancestor and those above it; `folder` is that of its child, None if the child is on the hub."""
    shown = Ancestor(reference.source, reference.relation, reference.revision)
    if len(chain) > DEEPEST or len(reading.seen) >= MOST_ANCESTORS:
        return replace(shown, state=State.NOT_FOLLOWED, note="the tree is too large")
    try:
        if folder is None and not _is_hub_id(reference.source):  # a path on the machine of somebody else
            return replace(shown, state=State.MISSING, note="a path on another machine")
        repository = reading.open(reference, folder or _NOWHERE)
    except StackerError as error:
        return replace(shown, state=State.MISSING, note=error.problems[0].message)
    shown = replace(shown, revision=repository.revision)
    if _identify(reference, repository) in chain:
        return replace(shown, state=State.CYCLE, note="it is made of itself")
    if (reference.source, repository.revision) in reading.seen:
        return replace(shown, state=State.LISTED, note="see above")
    return _read(replace(reference, revision=repository.revision), repository, reading, chain)


_NOWHERE = Path("/nonexistent")
"""The folder of a checkpoint on the hub, so that a hub id is never taken for a folder beside it."""


def _is_hub_id(source: str) -> bool:
    return source.count("/") <= 1 and not source.startswith((".", "/", "~", "\\"))


def _identify(reference: Reference, repository: Repository) -> str:
    """What is the same for every way to name one checkpoint: its folder, or its hub id and commit."""
    if repository.revision is None:
        return repository.source
    return f"{reference.source.partition('@')[0]}@{repository.revision}"


def read_papers(repository: Repository) -> Papers:
    """Read the small files that tell where a checkpoint comes from; missing or damaged ones count as empty."""
    with suppress(StackerError):
        names = set(repository.list_names())
        return Papers(
            lock=_read_object(repository, LOCK, names, _MAX_LOCK_BYTES) or _read_inner_lock(repository, names),
            merge=_read_yaml(repository, "mergekit_config.yml", names),
            adapter=_read_object(repository, "adapter_config.json", names),
            config=_read_object(repository, "config.json", names),
            card=read_card(repository) or Card(),
        )
    return Papers()


def _read_inner_lock(repository: Repository, names: set[str]) -> Mapping[str, Any]:
    """The lock in the metadata of a GGUF stack."""
    with suppress(StackerError):
        if not has_weights(sorted(names)):
            return parse_object(read_text_entry(repository, LOCK_KEY), LOCK_KEY, MANY_VALUES)
    return {}


def _read_object(repository: Repository, name: str, names: set[str], limit: int = MAX_JSON_BYTES) -> Mapping[str, Any]:
    with suppress(StackerError):
        if name in names:
            return parse_object(repository.read(name, limit), name, MANY_VALUES)
    return {}


def _read_yaml(repository: Repository, name: str, names: set[str]) -> Any:
    with suppress(StackerError, yaml.YAMLError, ValueError, RecursionError):
        if name in names:
            return yaml.safe_load(repository.read(name, 1_000_000))
    return None


def _name_kind(papers: Papers) -> str:
    if papers.lock:
        return "stack"
    if papers.merge:
        return "merge by mergekit"
    if papers.adapter:
        return "adapter"
    return str(papers.config.get("model_type") or "")[:40]
