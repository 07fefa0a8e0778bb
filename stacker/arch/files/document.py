"""Reading YAML nodes as what an architecture file has in a place; a node of another kind is a SpecError there."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from stacker.arch.files.formula import Formula, FormulaError, parse_formula
from stacker.errors import SpecError, did_you_mean
from stacker.formats.json_object import Json
from stacker.text.node import Mapping, Node, Scalar, Sequence, describe, to_data
from stacker.text.yaml import read_yaml

Entries = dict[str, Node]
ReadParent = Callable[[str], str]


def read_entries(text: str, source: str, read_parent: ReadParent | None = None) -> Entries:
    """The top-level entries of a file over those of the file its `like` names."""
    entries = entries_of(read_yaml(text, source))
    parent = entries.pop("like", None)
    if parent is None:
        return entries
    if read_parent is None:
        raise SpecError.of("'like' has no other file to start from here", mark=parent.mark)
    name = text_of(parent)
    return _merge(read_entries(read_parent(name), f"{name}.yaml", read_parent), entries)


def _merge(below: Entries, above: Entries) -> Entries:
    """The union of both; mappings are united entry by entry, and null takes away what is below."""
    merged = dict(below)
    for key, node in above.items():
        under = merged.get(key)
        if isinstance(node, Mapping) and isinstance(under, Mapping):
            names = {name.text: name for name, _ in (*under.entries, *node.entries)}
            united = _merge(entries_of(under), entries_of(node))
            node = Mapping(tuple((names[name], value) for name, value in united.items()), node.mark)
        merged[key] = node
        if isinstance(node, Scalar) and node.value is None:
            del merged[key]
    return merged


def entries_of(node: Node) -> Entries:
    """The entries of a mapping."""
    if not isinstance(node, Mapping):
        raise SpecError.of(f"a mapping should stand here, not {describe(node)}", mark=node.mark)
    return {key.text: value for key, value in node.entries}


def items_of(node: Node) -> tuple[Node, ...]:
    """The items of a list; a single value is a list of one."""
    return node.items if isinstance(node, Sequence) else (node,)


def text_of(node: Node) -> str:
    """A scalar as it was written."""
    if not isinstance(node, Scalar):
        raise SpecError.of(f"a text should stand here, not {describe(node)}", mark=node.mark)
    return node.text


def json_of(node: Node) -> Json:
    """The value of a node, whatever it is."""
    data: Json = to_data(node)
    return data


def formula_of(node: Node, text: str | None = None) -> Formula:
    """The formula a scalar holds, or `text`, a piece of it."""
    try:
        return parse_formula(text_of(node) if text is None else text.strip())
    except FormulaError as error:
        raise SpecError.of(str(error), "docs/architectures.md says what a formula may hold", node.mark) from error


def expect_known(keys: Entries, known: Iterable[str]) -> None:
    """SpecError for the first key that has no meaning here."""
    known = tuple(known)
    for key, node in keys.items():
        if key not in known:
            raise SpecError.of(f"unknown key '{key}'", did_you_mean(key, known), node.mark)


def section_of(entries: Entries, key: str) -> Entries:
    """The entries of a section, none where it is absent."""
    return entries_of(entries[key]) if key in entries else {}


def texts_of(entries: Entries, key: str) -> tuple[str, ...]:
    """The texts of a list, none where it is absent."""
    return tuple(text_of(item) for item in items_of(entries[key])) if key in entries else ()


def pairs_of(entries: Entries, key: str) -> tuple[tuple[str, str], ...]:
    """The names and texts of a section, none where it is absent."""
    return tuple((name, text_of(node)) for name, node in section_of(entries, key).items())
