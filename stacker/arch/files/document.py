"""Converts YAML nodes of an architecture file to values; raises SpecError with the position of an unexpected node."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from stacker.arch.files.formula import Formula, FormulaError, parse_formula
from stacker.errors import SpecError, did_you_mean
from stacker.formats.json_object import Json
from stacker.text.node import Mapping, Node, Scalar, Sequence, describe, to_data
from stacker.text.yaml import read_yaml

Entries = dict[str, Node]
ReadParent = Callable[[str], str]
OWN_KEYS = frozenset({"clients", "gguf"})
"""Entries that hold for one family only and are not inherited through `like`."""


def read_entries(text: str, source: str, read_parent: ReadParent | None = None) -> Entries:
    """The top-level entries of an architecture file, by key; `text` is its text, and `source` its name in messages.

    If the entry `like` names another file, `read_parent` reads the text of that file, and the entries of the first file
    are merged over those of the other file, except for those in OWN_KEYS.
    """
    entries = expect_mapping(read_yaml(text, source))
    parent = entries.pop("like", None)
    if parent is None:
        return entries
    if read_parent is None:
        raise SpecError.of("'like' cannot be used here: no other files are known", mark=parent.mark)
    name = expect_text(parent)
    inherited = read_entries(read_parent(name), f"{name}.yaml", read_parent)
    return merge_entries({key: node for key, node in inherited.items() if key not in OWN_KEYS}, entries)


def merge_entries(below: Entries, above: Entries) -> Entries:
    """Merge `above` over `below`: nested mappings are merged recursively, and null in `above` removes the entry."""
    merged = dict(below)
    for key, node in above.items():
        under = merged.get(key)
        if isinstance(node, Mapping) and isinstance(under, Mapping):
            names = {name.text: name for name, _ in (*under.entries, *node.entries)}
            united = merge_entries(expect_mapping(under), expect_mapping(node))
            node = Mapping(tuple((names[name], value) for name, value in united.items()), node.mark)
        merged[key] = node
        if isinstance(node, Scalar) and node.value is None:
            del merged[key]
    return merged


def expect_mapping(node: Node) -> Entries:
    """The entries of a mapping node, by key; SpecError if the node is not a mapping."""
    if not isinstance(node, Mapping):
        raise SpecError.of(f"expected a mapping, not {describe(node)}", mark=node.mark)
    return {key.text: value for key, value in node.entries}


def list_items(node: Node) -> tuple[Node, ...]:
    """The items of a list node; a node that is not a list counts as a list of one item."""
    return node.items if isinstance(node, Sequence) else (node,)


def expect_text(node: Node) -> str:
    """The text of a scalar node as it is written in the file; SpecError if the node is a list or mapping."""
    if not isinstance(node, Scalar):
        raise SpecError.of(f"expected a text, not {describe(node)}", mark=node.mark)
    return node.text


def read_json_value(node: Node) -> Json:
    """Convert a node to a JSON value."""
    data: Json = to_data(node)
    return data


def read_formula(node: Node, text: str | None = None) -> Formula:
    """Parse `text`, or the text of the scalar node if `text` is None, as a formula; SpecError if that fails."""
    try:
        return parse_formula(expect_text(node) if text is None else text.strip())
    except FormulaError as error:
        raise SpecError.of(str(error), "docs/architectures.md says what a formula may hold", node.mark) from error


def check_keys(keys: Entries, known: Iterable[str]) -> None:
    """Raise SpecError for the first key that is not in `known`."""
    known = tuple(known)
    for key, node in keys.items():
        if key not in known:
            raise SpecError.of(f"unknown key '{key}'", did_you_mean(key, known), node.mark)


def read_section(entries: Entries, key: str) -> Entries:
    """The entries of the mapping under `key`; empty if the key is absent."""
    return expect_mapping(entries[key]) if key in entries else {}


def read_texts(entries: Entries, key: str) -> tuple[str, ...]:
    """The texts of the list under `key`; empty if the key is absent."""
    return tuple(expect_text(item) for item in list_items(entries[key])) if key in entries else ()


def read_pairs(entries: Entries, key: str) -> tuple[tuple[str, str], ...]:
    """The entries of the mapping under `key`, as pairs of entry key and text; empty if `entries` lacks `key`."""
    return tuple((name, expect_text(node)) for name, node in read_section(entries, key).items())
