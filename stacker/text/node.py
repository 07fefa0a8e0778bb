"""Defines the nodes of a parsed text: scalars, sequences and mappings, each with its line and column."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from stacker.errors import Mark, escape_text

Plain = None | bool | int | float | str
Data = Plain | list["Data"] | dict[str, "Data"]


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value.

    `text` is the value as written, but without quotes and with escapes replaced by the characters they stand for.
    """

    value: Plain
    text: str
    mark: Mark = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list of nodes."""

    items: tuple[Node, ...]
    mark: Mark = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys and values in the order of the text; `by_key` maps the text of each key to the key's entry.

    Keys are compared as text, so `8` and `"8"` are the same key.
    """

    entries: tuple[tuple[Scalar, Node], ...]
    mark: Mark = field(compare=False, repr=False)
    by_key: dict[str, tuple[Scalar, Node]] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_key", {entry[0].text: entry for entry in self.entries})

    def get(self, key: str) -> Node | None:
        """The value under `key`; None if there is no such key."""
        return self.by_key[key][1] if key in self.by_key else None

    def key_mark(self, key: str) -> Mark:
        """Where `key` itself is written, or where the mapping begins if it has no such key."""
        return self.by_key[key][0].mark if key in self.by_key else self.mark

    @property
    def names(self) -> tuple[str, ...]:
        """The keys as text, in order."""
        return tuple(name.text for name, _ in self.entries)


Node = Scalar | Sequence | Mapping


def get_child(node: Node, step: str | int) -> Node:
    """The value of a key of a mapping or the item at an index of a sequence; `node` itself if it has no such child."""
    match node:
        case Mapping():
            return node.get(str(step)) or node
        case Sequence(items) if isinstance(step, int) and step < len(items):
            return items[step]
        case _:
            return node


def get_text(node: Node | None, key: str) -> str | None:
    """The string under a key of `node`; None if `node` is no mapping, the key is missing, or the value is no string."""
    below = node.get(key) if isinstance(node, Mapping) else None
    return below.value if isinstance(below, Scalar) and isinstance(below.value, str) else None


def get_int(node: Node, key: str) -> int | None:
    """The integer under a key of `node`; None if `node` is no mapping, or has no such key, or no integer there."""
    below = node.get(key) if isinstance(node, Mapping) else None
    return below.value if isinstance(below, Scalar) and type(below.value) is int else None


def list_items(node: Node | None) -> tuple[Node, ...]:
    """The items of a sequence; empty for any other node and for None."""
    return node.items if isinstance(node, Sequence) else ()


def list_entries(node: Node | None) -> tuple[tuple[Scalar, Node], ...]:
    """Pairs of the keys and values of a mapping; empty for any other node and for None."""
    return node.entries if isinstance(node, Mapping) else ()


def to_data(node: Node) -> Data:
    """The node as lists, dicts and plain values, without line and column."""
    match node:
        case Scalar(value):
            return value
        case Sequence(items):
            return [to_data(item) for item in items]
        case Mapping(entries):
            return {key.text: to_data(value) for key, value in entries}


def walk_scalars(node: Node) -> Iterator[tuple[Scalar, bool]]:
    """Yield every scalar in a node, with True for a mapping's key and False for any other scalar.

    Content that aliases repeat is yielded once, so that a small text does not take long.
    """
    yield from _walk(node, set())


def _walk(node: Node, seen: set[int]) -> Iterator[tuple[Scalar, bool]]:
    if id(node) in seen:
        return
    seen.add(id(node))
    match node:
        case Scalar():
            yield node, False
        case Sequence(items):
            for item in items:
                yield from _walk(item, seen)
        case Mapping(entries):
            for key, value in entries:
                yield key, True
                yield from _walk(value, seen)


def is_null(node: Node | None) -> bool:
    """Whether `node` is None or a scalar with the value null."""
    return node is None or (isinstance(node, Scalar) and node.value is None)


def describe(node: Node) -> str:
    """How messages refer to a node: `a list`, `a mapping`, `nothing`, `the number 5`, `true`, `'text'`."""
    match node:
        case Sequence():
            return "a list"
        case Mapping():
            return "a mapping"
        case Scalar(None):
            return "nothing"
        case Scalar(str() as text):
            return f"'{shorten(text)}'"
        case Scalar(bool(), text):
            return text
        case Scalar(_, text):
            return f"the number {shorten(text)}"


def shorten(text: str, width: int = 60) -> str:
    """The text with unprintable characters escaped, and cut to `width` characters, so that it fits into a message."""
    return escape_text(text, width)
