"""YAML 1.2 as nodes with marks, from PyYAML's events: no constructor runs, nothing explodes, every problem has a place.

It knows no key and no language; refused are duplicate keys, custom tags, deep nesting, large expansions, cycles.
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
    """The one document of a text; SpecError when it is empty, has several, or is not the YAML of this module's head."""
    return take_only_document(read_documents(text, source), source)


def take_only_document(documents: tuple[Node, ...], source: str) -> Node:
    """The one document among those of a text; SpecError when there is none, or another."""
    if not documents or (len(documents) == 1 and documents[0] == Scalar(None, "", documents[0].mark)):
        raise SpecError.of("this text is empty", "", Mark(source))
    if len(documents) > 1:
        raise SpecError.of("a second document begins here", "keep one document in a file", documents[1].mark)
    return documents[0]


def read_documents(text: str | bytes, source: str) -> tuple[Node, ...]:
    """Every document of a text, in order; none for a text of comments only."""
    content = decode_text(text, source)
    reading = _Reading(source, yaml.parse(content, Loader=_LOADER))
    try:
        documents = tuple(_documents(reading))
    except yaml.YAMLError as error:
        raise SpecError(*reading.problems, explain_syntax_error(error, content, source)) from error
    if reading.problems:
        raise SpecError(*reading.problems)
    return documents


@dataclass(frozen=True, slots=True)
class _Built:
    """A node with its size (nodes, aliases counted as often as they are used) and height (levels of nesting)."""

    node: Node
    size: int = 1
    height: int = 1


@dataclass(slots=True)
class _Reading:
    source: str
    events: Iterator[yaml.Event]
    problems: list[Problem] = field(default_factory=list)
    anchors: dict[str, _Built | None] = field(default_factory=dict)
    expanded: int = 0

    def mark(self, event: yaml.Event) -> Mark:
        spot = event.start_mark
        return Mark(self.source, spot.line + 1, spot.column + 1) if spot else Mark(self.source)

    def note(self, message: str, hint: str, mark: Mark) -> None:
        self.problems.append(Problem(message, hint, mark))

    def stop(self, message: str, hint: str, mark: Mark) -> SpecError:
        return SpecError(*self.problems, Problem(message, hint, mark))


def _documents(reading: _Reading) -> Iterator[Node]:
    for event in reading.events:
        if isinstance(event, yaml.DocumentStartEvent):
            reading.anchors.clear()
            yield _compose(reading, next(reading.events), 1).node


def _compose(reading: _Reading, event: yaml.Event, depth: int) -> _Built:
    if depth > MOST_NESTING:
        raise reading.stop(f"nested deeper than {MOST_NESTING} levels", "", reading.mark(event))
    if isinstance(event, yaml.AliasEvent):
        return _alias(reading, event, depth)
    anchor = event.anchor if isinstance(event, yaml.NodeEvent) else None
    if anchor:
        reading.anchors[anchor] = None
    built = _scalar(reading, event) if isinstance(event, yaml.ScalarEvent) else _collection(reading, event, depth)
    if anchor:
        reading.anchors[anchor] = built
    return built


def _alias(reading: _Reading, event: yaml.AliasEvent, depth: int) -> _Built:
    mark = reading.mark(event)
    if event.anchor not in reading.anchors:
        reading.note(f"no anchor &{event.anchor} stands before this *{event.anchor}", "", mark)
        return _Built(Scalar(None, "", mark))
    built = reading.anchors[event.anchor]
    if built is None:
        raise reading.stop(f"*{event.anchor} stands inside its own anchor &{event.anchor}", "", mark)
    reading.expanded += built.size
    if reading.expanded > MOST_EXPANDED:
        raise reading.stop(f"the aliases of this text stand for more than {MOST_EXPANDED:,} values", "", mark)
    if depth + built.height - 1 > MOST_NESTING:
        raise reading.stop(f"nested deeper than {MOST_NESTING} levels", "", mark)
    return built


def _scalar(reading: _Reading, event: yaml.ScalarEvent) -> _Built:
    mark = reading.mark(event)
    try:
        value = _value(event)
    except ScalarError as error:
        reading.note(str(error), "", mark)
        value = None
    return _Built(Scalar(value, event.value, mark))


def _value(event: yaml.ScalarEvent) -> Plain:
    if event.tag:
        return parse_tagged(event.value, event.tag)
    return parse_plain(event.value) if event.implicit[0] else event.value


def _collection(reading: _Reading, event: yaml.Event, depth: int) -> _Built:
    if isinstance(event, yaml.CollectionStartEvent) and event.tag not in (None, "!", _COLLECTION_TAGS[type(event)]):
        reading.note(f"the tag {format_tag(str(event.tag))} is not allowed", "", reading.mark(event))
    if isinstance(event, yaml.SequenceStartEvent):
        return _sequence(reading, reading.mark(event), depth)
    return _mapping(reading, reading.mark(event), depth)


def _sequence(reading: _Reading, mark: Mark, depth: int) -> _Built:
    items = []
    while not isinstance(event := next(reading.events), yaml.SequenceEndEvent):
        items.append(_compose(reading, event, depth + 1))
    return _around(Sequence(tuple(item.node for item in items), mark), items)


def _mapping(reading: _Reading, mark: Mark, depth: int) -> _Built:
    entries: dict[str, tuple[Scalar, Node]] = {}
    merged: list[tuple[Scalar, Node]] = []
    parts: list[_Built] = []
    while not isinstance(event := next(reading.events), yaml.MappingEndEvent):
        is_merge = isinstance(event, yaml.ScalarEvent) and event.value == "<<" and event.implicit[0]
        key = _compose(reading, event, depth + 1)
        value = _compose(reading, next(reading.events), depth + 1)
        parts += [key, value]
        if is_merge:
            merged += _merged(reading, value.node)
        else:
            _enter(reading, entries, key.node, value.node)
    for name, node in merged:
        entries.setdefault(name.text, (name, node))
    return _around(Mapping(tuple(entries.values()), mark), parts)


def _around(node: Node, parts: list[_Built]) -> _Built:
    size = 1 + sum(part.size for part in parts)
    return _Built(node, size, 1 + max((part.height for part in parts), default=0))


def _enter(reading: _Reading, entries: dict[str, tuple[Scalar, Node]], key: Node, value: Node) -> None:
    if not isinstance(key, Scalar):
        reading.note("a key must be a single word or text", "", key.mark)
    elif key.text in entries:
        first = entries[key.text][0].mark
        reading.note(
            f"'{shorten(key.text)}' stands here a second time, first on line {first.line}, column {first.column}",
            "keep one of the two",
            key.mark,
        )
    else:
        entries[key.text] = (key, value)


def _merged(reading: _Reading, node: Node) -> list[tuple[Scalar, Node]]:
    """The entries that a merge key brings; earlier mappings of a list win, as in YAML's merge type."""
    mappings = node.items if isinstance(node, Sequence) else (node,)
    entries: list[tuple[Scalar, Node]] = []
    for mapping in mappings:
        if isinstance(mapping, Mapping):
            entries += mapping.entries
        else:
            reading.note("'<<' takes a mapping, or a list of mappings", "for instance: <<: *name", mapping.mark)
    return entries
