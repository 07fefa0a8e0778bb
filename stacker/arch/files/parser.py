"""An architecture file as text -> Architecture. `docs/architectures.md` describes the form.

A file may start from another (`like`): sections are united entry by entry, and null takes an entry away.
"""

from __future__ import annotations

import re

from stacker.arch.files.architecture import KEYLESS, Architecture, LayerRule, Part, TensorTemplate, WriteKind
from stacker.arch.files.document import (
    Entries,
    ReadParent,
    entries_of,
    expect_known,
    formula_of,
    items_of,
    json_of,
    pairs_of,
    read_entries,
    section_of,
    text_of,
    texts_of,
)
from stacker.arch.files.formula import Formula
from stacker.arch.files.roles import ROLES, base_role
from stacker.errors import Mark, SpecError, did_you_mean
from stacker.tensors import DTYPES
from stacker.text.node import Node

_REQUIRED = ("family", "model_types", "depth", "prefix")
_KEYS = (
    *_REQUIRED, "like", "scope", "root", "defaults", "dimensions", "embed", "layer", "head", "apart", "tied", "ignored",
    "per_layer", "sized", "agree", "notes",
)  # fmt: skip
_RULE_KEYS = ("read", "write", "when", "drop", "put", "over", "reason")
_TENSOR = re.compile(r"(?P<role>[\w.]+)(?P<optional>\??) \[(?P<rest>.*)", re.DOTALL)
_TAIL = re.compile(r"(?: as (?P<dtype>\w+))?(?: for e in (?P<count>.+?))?(?: if (?P<when>.+))?", re.DOTALL)


def parse_architecture(text: str, source: str, read_parent: ReadParent | None = None) -> Architecture:
    """The family a file describes; SpecError, with the place, for anything that is not in the form.

    `read_parent` gives the text of the file that `like` names.
    """
    entries = read_entries(text, source, read_parent)
    expect_known(entries, _KEYS)
    missing = [key for key in _REQUIRED if key not in entries]
    if missing:
        raise SpecError.of(f"missing: {', '.join(missing)}", "every architecture file has these", Mark(source))
    parts = ((Part.EMBED, "embed"), (Part.LAYER, "layer"), (Part.HEAD, "head"))
    return Architecture(
        name=text_of(entries["family"]),
        model_types=texts_of(entries, "model_types"),
        depth=formula_of(entries["depth"]),
        prefix=text_of(entries["prefix"]),
        scope=text_of(entries["scope"]) if "scope" in entries else "",
        root=text_of(entries["root"]) if "root" in entries else "",
        defaults=tuple((key, json_of(node)) for key, node in section_of(entries, "defaults").items()),
        dimensions=parse_formulas(entries, "dimensions"),
        tensors=tuple(
            parse_tensor(name, line, part)
            for part, key in parts
            for name, node in section_of(entries, key).items()
            for line in items_of(node)
        ),
        rules=parse_rules(entries),
        sized=parse_formulas(entries, "sized"),
        tied=pairs_of(entries, "tied"),
        ignored=pairs_of(entries, "ignored"),
        apart=texts_of(entries, "apart"),
        agree=texts_of(entries, "agree"),
        notes=texts_of(entries, "notes"),
    )


def parse_rules(entries: Entries, section: str = "per_layer") -> tuple[LayerRule, ...]:
    """The rules of a section."""
    return tuple(_rule(name, node) for name, node in section_of(entries, section).items())


def parse_tensor(name: str, node: Node, part: Part) -> TensorTemplate:
    """A line such as `mlp.up.expert [ffn, hidden] for e in experts if sparse`; a `?` after the role means optional."""
    text = text_of(node)
    found = _TENSOR.fullmatch(text)
    shape, tail = _split_shape(found["rest"]) if found else ("", None)
    ending = _TAIL.fullmatch(tail) if tail is not None else None
    if not found or not ending:
        hint = "write it as 'role [sizes] as U8 for e in experts if condition'; the last three may be left out"
        raise SpecError.of(f"'{text}' does not describe the tensor {name}", hint, node.mark)
    if base_role(found["role"]) not in ROLES:
        raise SpecError.of(f"unknown role '{found['role']}'", did_you_mean(found["role"], ROLES), node.mark)
    if ending["dtype"] not in (None, *DTYPES):
        raise SpecError.of(f"unknown dtype '{ending['dtype']}'", did_you_mean(ending["dtype"], DTYPES), node.mark)
    if ("{e}" in name) != bool(ending["count"]):
        raise SpecError.of(f"{name}: '{{e}}' in a name and 'for e in' go together", mark=node.mark)
    return TensorTemplate(
        name=name,
        role=found["role"],
        part=part,
        shape=tuple(formula_of(node, size) for size in shape.split(",") if size.strip()),
        when=formula_of(node, ending["when"]) if ending["when"] else None,
        count=formula_of(node, ending["count"]) if ending["count"] else None,
        optional=bool(found["optional"]),
        dtype=DTYPES[ending["dtype"]] if ending["dtype"] else None,
    )


def _split_shape(rest: str) -> tuple[str, str | None]:
    """What stands before the bracket that closes the shape, and what stands after it (None: it never closes)."""
    depth = 1
    for place, letter in enumerate(rest):
        depth += {"[": 1, "]": -1}.get(letter, 0)
        if depth == 0:
            return rest[:place], rest[place + 1 :]
    return rest, None


def _rule(name: str, node: Node) -> LayerRule:
    fields = entries_of(node)
    expect_known(fields, _RULE_KEYS)
    if "read" not in fields or "write" not in fields:
        raise SpecError.of(f"'{name}' needs 'read' and 'write'", mark=node.mark)
    kind, key = _way_to_write(fields["write"])
    if ("over" in fields) != (kind is WriteKind.SOLVE):
        raise SpecError.of(f"{name}: 'write: solve' and 'over' go together", mark=node.mark)
    return LayerRule(
        name=name,
        key=key,
        write=kind,
        read=tuple(formula_of(reader) for reader in items_of(fields["read"])),
        when=formula_of(fields["when"]) if "when" in fields else None,
        drop=texts_of(fields, "drop"),
        put=tuple((key, json_of(value)) for key, value in section_of(fields, "put").items()),
        over=parse_formulas(fields, "over"),
        reason=text_of(fields["reason"]) if "reason" in fields else "",
    )


def _way_to_write(node: Node) -> tuple[WriteKind, str]:
    kind, _, key = text_of(node).partition(" ")
    if kind not in set(WriteKind):
        raise SpecError.of(f"unknown way to write: '{kind}'", did_you_mean(kind, WriteKind), node.mark)
    if bool(key) == (kind in KEYLESS):
        ways = ", ".join(f"'{way}'" for way in sorted(KEYLESS))
        hint = f"{ways} name no config key, every other way does: list layer_types"
        raise SpecError.of(f"'{text_of(node)}' is not a way to write", hint, node.mark)
    return WriteKind(kind), key


def parse_formulas(entries: Entries, key: str) -> tuple[tuple[str, Formula], ...]:
    """The formulas of a section, by name."""
    return tuple((name, formula_of(node)) for name, node in section_of(entries, key).items())
