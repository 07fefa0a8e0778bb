"""The family tree of a checkpoint: its ancestors, what is missing, and licences that do not agree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """What is known of an ancestor."""

    READ = "read"
    MISSING = "missing"
    CYCLE = "cycle"
    """It is its own descendant, so it is not followed."""
    LISTED = "listed"
    """It is shown elsewhere in the tree."""
    NOT_FOLLOWED = "not followed"
    """The tree has become too deep or too large."""


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A checkpoint in a family tree; `relation` is how the one below it in the tree came from it ("" for the first).

    `licence` is the id of the licence that its card states, `note` why it is not followed, and `parents` are its own
    ancestors.
    """

    source: str
    relation: str = ""
    revision: str | None = None
    licence: str | None = None
    kind: str = ""
    state: State = State.READ
    note: str = ""
    parents: tuple[Ancestor, ...] = ()

    @property
    def label(self) -> str:
        """The source, with the first digits of the commit if there is one."""
        return f"{self.source}@{self.revision[:12]}" if self.revision else self.source

    def walk(self) -> Iterator[Ancestor]:
        """The ancestor itself and all above it, depth first."""
        yield self
        for parent in self.parents:
            yield from parent.walk()


def list_licences(tree: Ancestor) -> dict[str, tuple[str, ...]]:
    """The licences in a tree, each with the sources that have it, in the order of the tree."""
    found: dict[str, dict[str, None]] = {}
    for each in tree.walk():
        if each.licence:
            found.setdefault(each.licence, {})[each.source] = None
    return {licence: tuple(sources) for licence, sources in found.items()}


def find_conflicts(tree: Ancestor) -> tuple[Ancestor, ...]:
    """The ancestors whose licence is another one than that of a checkpoint made from them, and which may bind it."""
    return tuple(dict.fromkeys(_find_conflicts(tree)))


def _find_conflicts(tree: Ancestor) -> Iterator[Ancestor]:
    for parent in tree.parents:
        if tree.licence and parent.licence and parent.licence != tree.licence:
            yield parent
        yield from _find_conflicts(parent)
