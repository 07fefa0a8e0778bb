"""Reads YAML 1.2 into nodes with line and column.

The nodes are made from PyYAML's parse events, so PyYAML constructs no objects; duplicate keys, custom tags, deep
nesting, large alias expansions and cycles are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from stacker.errors import Mark, Problem, SpecError
from stacker.text.decoding import decode_text
from stacker.text.node import Mapping, Node, Plain, Scalar, Sequence, shorten
from stacker.text.scalars import ScalarError, format_tag, parse_plain, parse_tagged
from stacker.text.syntax import explain_syntax_error

MOST_NESTING = 100
MOST_EXPANDED = 10_000
_LOADER: type = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_COLLECTION_TAGS = {
    yaml.SequenceStartEvent: "tag:yaml.org,2002:seq",
    yaml.MappingStartEvent: "tag:yaml.org,2002:map",
}


def read_yaml(text: str | bytes, source: str) -> Node:
    """The root node of a text that is one YAML document.

    SpecError if the text is empty, has several documents, or is not valid YAML.
    """
    return take_only_document(read_documents(text, source), source)


def take_only_document(documents: tuple[Node, ...], source: str) -> Node:
    """The only item of `documents`, the YAML documents of a text. SpecError if the text is empty or has several."""
    if not documents or (len(documents) == 1 and documents[0] == Scalar(None, "", documents[0].mark)):
        raise SpecError.of("this text is empty", "", Mark(source))
    if len(documents) > 1:
        raise SpecError.of("a second document begins here", "keep one document in a file", documents[1].mark)
    return documents[0]


def read_documents(text: str | bytes, source: str) -> tuple[Node, ...]:
    """The root node of each document of a text, in order; empty if the text has only comments.

    SpecError if the text is not valid YAML.
    """
    content = decode_text(text, source)
    composer = _Composer(source, yaml.parse(content, Loader=_LOADER))
    try:
        documents = tuple(_compose_documents(composer))
    except yaml.YAMLError as error:
        raise SpecError(*composer.problems, explain_syntax_error(error, content, source)) from error
    if composer.problems:
        raise SpecError(*composer.problems)
    return documents


@dataclass(frozen=True, slots=True)
class _Composed:
    """A node with its size and height.

    `size` is the number of nodes in `node`, and counts the content of an alias at each use. `height` is the number of
    levels of nesting.
    """

    node: Node
    size: int = 1
    height: int = 1


@dataclass(slots=True)
class _Composer:
    source: str
    events: Iterator[yaml.Event]
    problems: list[Problem] = field(default_factory=list)
    anchors: dict[str, _Composed | None] = field(default_factory=dict)
    expanded: int = 0

    def mark(self, event: yaml.Event) -> Mark:
        spot = event.start_mark
        return Mark(self.source, spot.line + 1, spot.column + 1) if spot else Mark(self.source)

    def note(self, message: str, hint: str, mark: Mark) -> None:
        self.problems.append(Problem(message, hint, mark))

    def stop(self, message: str, hint: str, mark: Mark) -> SpecError:
        return SpecError(*self.problems, Problem(message, hint, mark))


def _compose_documents(composer: _Composer) -> Iterator[Node]:
    for event in composer.events:
        if isinstance(event, yaml.DocumentStartEvent):
            composer.anchors.clear()
            yield _compose_node(composer, next(composer.events), 1).node


def _compose_node(composer: _Composer, event: yaml.Event, depth: int) -> _Composed:
    if depth > MOST_NESTING:
        raise composer.stop(f"nested deeper than {MOST_NESTING} levels", "", composer.mark(event))
    if isinstance(event, yaml.AliasEvent):
        return _resolve_alias(composer, event, depth)
    anchor = event.anchor if isinstance(event, yaml.NodeEvent) else None
    if anchor:
        composer.anchors[anchor] = None
    composed = (
        _compose_scalar(composer, event)
        if isinstance(event, yaml.ScalarEvent)
        else _compose_collection(composer, event, depth)
    )
    if anchor:
        composer.anchors[anchor] = composed
    return composed


def _resolve_alias(composer: _Composer, event: yaml.AliasEvent, depth: int) -> _Composed:
    mark = composer.mark(event)
    if event.anchor not in composer.anchors:
        composer.note(f"no anchor &{event.anchor} comes before the alias *{event.anchor}", "", mark)
        return _Composed(Scalar(None, "", mark))
    composed = composer.anchors[event.anchor]
    if composed is None:
        raise composer.stop(f"the alias *{event.anchor} is inside its own anchor &{event.anchor}", "", mark)
    composer.expanded += composed.size
    if composer.expanded > MOST_EXPANDED:
        raise composer.stop(f"the aliases of this text stand for more than {MOST_EXPANDED:,} values", "", mark)
    if depth + composed.height - 1 > MOST_NESTING:
        raise composer.stop(f"nested deeper than {MOST_NESTING} levels", "", mark)
    return composed


def _compose_scalar(composer: _Composer, event: yaml.ScalarEvent) -> _Composed:
    mark = composer.mark(event)
    try:
        value = _parse_scalar(event)
    except ScalarError as error:
        composer.note(str(error), "", mark)
        value = None
    return _Composed(Scalar(value, event.value, mark))


def _parse_scalar(event: yaml.ScalarEvent) -> Plain:
    if event.tag:
        return parse_tagged(event.value, event.tag)
    return parse_plain(event.value) if event.implicit[0] else event.value


def _compose_collection(composer: _Composer, event: yaml.Event, depth: int) -> _Composed:
    if isinstance(event, yaml.CollectionStartEvent) and event.tag not in (None, "!", _COLLECTION_TAGS[type(event)]):
        composer.note(f"the tag {format_tag(str(event.tag))} is not allowed", "", composer.mark(event))
    if isinstance(event, yaml.SequenceStartEvent):
        return _compose_sequence(composer, composer.mark(event), depth)
    return _compose_mapping(composer, composer.mark(event), depth)


def _compose_sequence(composer: _Composer, mark: Mark, depth: int) -> _Composed:
    items = []
    while not isinstance(event := next(composer.events), yaml.SequenceEndEvent):
        items.append(_compose_node(composer, event, depth + 1))
    return _measure(Sequence(tuple(item.node for item in items), mark), items)


def _compose_mapping(composer: _Composer, mark: Mark, depth: int) -> _Composed:
    entries: dict[str, tuple[Scalar, Node]] = {}
    merged: list[tuple[Scalar, Node]] = []
    parts: list[_Composed] = []
    while not isinstance(event := next(composer.events), yaml.MappingEndEvent):
        is_merge = isinstance(event, yaml.ScalarEvent) and event.value == "<<" and event.implicit[0]
        key = _compose_node(composer, event, depth + 1)
        value = _compose_node(composer, next(composer.events), depth + 1)
        parts += [key, value]
        if is_merge:
            merged += _list_merged(composer, value.node)
        else:
            _add_entry(composer, entries, key.node, value.node)
    for name, node in merged:
        entries.setdefault(name.text, (name, node))
    return _measure(Mapping(tuple(entries.values()), mark), parts)


def _measure(node: Node, parts: list[_Composed]) -> _Composed:
    size = 1 + sum(part.size for part in parts)
    return _Composed(node, size, 1 + max((part.height for part in parts), default=0))


def _add_entry(composer: _Composer, entries: dict[str, tuple[Scalar, Node]], key: Node, value: Node) -> None:
    if not isinstance(key, Scalar):
        composer.note("a key must be text, not a list or mapping", "", key.mark)
    elif key.text in entries:
        first = entries[key.text][0].mark
        composer.note(
            f"the key '{shorten(key.text)}' is already on line {first.line}, column {first.column}",
            "keep one of the two",
            key.mark,
        )
    else:
        entries[key.text] = (key, value)


def _list_merged(composer: _Composer, node: Node) -> list[tuple[Scalar, Node]]:
    """The entries that the merge key `<<` adds to a mapping if its value is `node`.

    If a key occurs twice in the list, the caller keeps the first entry, as YAML's merge type defines.
    """
    mappings = node.items if isinstance(node, Sequence) else (node,)
    entries: list[tuple[Scalar, Node]] = []
    for mapping in mappings:
        if isinstance(mapping, Mapping):
            entries += mapping.entries
        else:
            composer.note("'<<' takes a mapping, or a list of mappings", "for instance: <<: *name", mapping.mark)
    return entries
