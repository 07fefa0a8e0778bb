"""Parses the text of an architecture file; `docs/architectures.md` describes the format.

A file may extend another file, which the entry `like` names: the sections of the two files are merged entry by entry.
"""

from __future__ import annotations

import re

from stacker.arch.files.architecture import (
    FOLDS,
    KEYLESS,
    Architecture,
    Fold,
    LayerRule,
    Part,
    TensorTemplate,
    WriteKind,
)
from stacker.arch.files.clients import parse_client_facts
from stacker.arch.files.document import (
    Entries,
    ReadParent,
    check_keys,
    expect_mapping,
    expect_text,
    list_items,
    read_entries,
    read_formula,
    read_json_value,
    read_pairs,
    read_section,
    read_texts,
)
from stacker.arch.files.formula import Formula
from stacker.arch.files.roles import ROLES, strip_role_suffixes
from stacker.errors import Mark, SpecError, did_you_mean
from stacker.tensors import DTYPES
from stacker.text.node import Node

_REQUIRED = ("family", "model_types", "depth", "prefix")
_KEYS = (
    *_REQUIRED, "like", "scope", "defaults", "dimensions", "embed", "layer", "head", "apart", "tied", "ignored",
    "per_layer", "sized", "hop", "no_hop", "agree", "notes", "clients", "gguf",
)  # fmt: skip
_RULE_KEYS = ("read", "write", "when", "drop", "put", "over", "reason")
_TENSOR = re.compile(r"(?P<role>[\w.]+)(?P<optional>\??) \[(?P<rest>.*)", re.DOTALL)
_TAIL = re.compile(r"(?: as (?P<dtype>\w+))?(?: for e in (?P<count>.+?))?(?: if (?P<when>.+))?", re.DOTALL)


def parse_architecture(text: str, source: str, read_parent: ReadParent | None = None) -> Architecture:
    """Parse the text of an architecture file; SpecError, with the position, if it does not follow the format.

    `source` is the name of the file in messages; `read_parent` returns the text of another file from its name, if the
    entry `like` names another file to extend.
    """
    return build_architecture(read_entries(text, source, read_parent), source)


def build_architecture(entries: Entries, source: str) -> Architecture:
    """Make an Architecture of the entries of a file; SpecError, with the position, for what does not follow the format.

    `source` is the name of the file in messages.
    """
    check_keys(entries, _KEYS)
    missing = [key for key in _REQUIRED if key not in entries]
    if missing:
        raise SpecError.of(f"missing: {', '.join(missing)}", "every architecture file has these", Mark(source))
    parts = ((Part.EMBED, "embed"), (Part.LAYER, "layer"), (Part.HEAD, "head"))
    return Architecture(
        name=expect_text(entries["family"]),
        model_types=read_texts(entries, "model_types"),
        depth=read_formula(entries["depth"]),
        prefix=expect_text(entries["prefix"]),
        scope=expect_text(entries["scope"]) if "scope" in entries else "",
        defaults=tuple((key, read_json_value(node)) for key, node in read_section(entries, "defaults").items()),
        dimensions=parse_formulas(entries, "dimensions"),
        tensors=tuple(
            parse_tensor(name, line, part)
            for part, key in parts
            for name, node in read_section(entries, key).items()
            for line in list_items(node)
        ),
        rules=parse_rules(entries),
        sized=parse_formulas(entries, "sized"),
        tied=read_pairs(entries, "tied"),
        ignored=read_pairs(entries, "ignored"),
        apart=read_texts(entries, "apart"),
        hop=tuple((match, _parse_fold(node)) for match, node in read_section(entries, "hop").items()),
        no_hop=parse_reasons(entries, "no_hop"),
        agree=read_texts(entries, "agree"),
        notes=read_texts(entries, "notes"),
        clients=parse_client_facts(entries),
    )


def parse_rules(entries: Entries, section: str = "per_layer") -> tuple[LayerRule, ...]:
    """Parse the layer rules in the section named `section`; empty if there is no such section."""
    return tuple(_parse_rule(name, node) for name, node in read_section(entries, section).items())


def parse_tensor(name: str, node: Node, part: Part) -> TensorTemplate:
    """Parse the description of the tensor `name`, such as `mlp.up.expert [ffn, hidden] for e in experts if sparse`.

    A `?` after the role means that the tensor is optional; SpecError if the description does not follow the format.
    """
    text = expect_text(node)
    found = _TENSOR.fullmatch(text)
    shape, tail = _split_shape(found["rest"]) if found else ("", None)
    ending = _TAIL.fullmatch(tail) if tail is not None else None
    if not found or not ending:
        hint = "write it as 'role [sizes] as U8 for e in experts if condition'; the last three may be left out"
        raise SpecError.of(f"'{text}' does not describe the tensor {name}", hint, node.mark)
    if strip_role_suffixes(found["role"]) not in ROLES:
        raise SpecError.of(f"unknown role '{found['role']}'", did_you_mean(found["role"], ROLES), node.mark)
    if ending["dtype"] not in (None, *DTYPES):
        raise SpecError.of(f"unknown dtype '{ending['dtype']}'", did_you_mean(ending["dtype"], DTYPES), node.mark)
    if ("{e}" in name) != bool(ending["count"]):
        raise SpecError.of(f"{name}: '{{e}}' in a name and 'for e in' go together", mark=node.mark)
    return TensorTemplate(
        name=name,
        role=found["role"],
        part=part,
        shape=tuple(read_formula(node, size) for size in shape.split(",") if size.strip()),
        when=read_formula(node, ending["when"]) if ending["when"] else None,
        count=read_formula(node, ending["count"]) if ending["count"] else None,
        optional=bool(found["optional"]),
        dtype=DTYPES[ending["dtype"]] if ending["dtype"] else None,
    )


def _split_shape(rest: str) -> tuple[str, str | None]:
    """Split the text after a `[` into the text before the matching `]` and the text after that `]`.

    If there is no matching `]`, returns the whole text and None.
    """
    depth = 1
    for place, letter in enumerate(rest):
        depth += {"[": 1, "]": -1}.get(letter, 0)
        if depth == 0:
            return rest[:place], rest[place + 1 :]
    return rest, None


def _parse_rule(name: str, node: Node) -> LayerRule:
    fields = expect_mapping(node)
    check_keys(fields, _RULE_KEYS)
    if "read" not in fields or "write" not in fields:
        raise SpecError.of(f"'{name}' needs 'read' and 'write'", mark=node.mark)
    kind, key = _parse_write(fields["write"])
    if ("over" in fields) != (kind is WriteKind.SOLVE):
        raise SpecError.of(f"{name}: 'write: solve' and 'over' go together", mark=node.mark)
    return LayerRule(
        name=name,
        key=key,
        write=kind,
        read=tuple(read_formula(reader) for reader in list_items(fields["read"])),
        when=read_formula(fields["when"]) if "when" in fields else None,
        drop=read_texts(fields, "drop"),
        put=tuple((key, read_json_value(value)) for key, value in read_section(fields, "put").items()),
        over=parse_formulas(fields, "over"),
        reason=expect_text(fields["reason"]) if "reason" in fields else "",
    )


def _parse_fold(node: Node) -> Fold:
    text = expect_text(node)
    if text not in FOLDS:
        raise SpecError.of(f"unknown way to fold a hop: '{text}'", f"known: {', '.join(FOLDS)}", node.mark)
    return FOLDS[text]


def _parse_write(node: Node) -> tuple[WriteKind, str]:
    kind, _, key = expect_text(node).partition(" ")
    if kind not in set(WriteKind):
        raise SpecError.of(f"unknown way to write: '{kind}'", did_you_mean(kind, WriteKind), node.mark)
    if bool(key) == (kind in KEYLESS):
        ways = ", ".join(f"'{way}'" for way in sorted(KEYLESS))
        hint = f"{ways} name no config key, every other way does: list layer_types"
        raise SpecError.of(f"'{expect_text(node)}' is not a way to write", hint, node.mark)
    return WriteKind(kind), key


def parse_reasons(entries: Entries, key: str) -> tuple[tuple[Formula, str], ...]:
    """Parse the section `key`, which maps conditions to reasons; empty if there is no such section."""
    return tuple((read_formula(node, when), expect_text(node)) for when, node in read_section(entries, key).items())


def parse_formulas(entries: Entries, key: str) -> tuple[tuple[str, Formula], ...]:
    """Parse the formulas in the section `key`, as pairs of name and formula; empty if there is no such section."""
    return tuple((name, read_formula(node)) for name, node in read_section(entries, key).items())
