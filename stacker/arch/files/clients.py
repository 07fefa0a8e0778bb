"""Describes what clients make of a family's checkpoints, and parses these descriptions.

A client is a program other than transformers that loads checkpoints, such as llama.cpp or vLLM; messages and docs call
it a program. transformers is the reference: a rule describes a case in which a client computes something else, or does
not load a checkpoint that transformers loads.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from stacker.arch.files.document import (
    Entries,
    check_keys,
    expect_mapping,
    expect_text,
    list_items,
    read_formula,
    read_section,
)
from stacker.arch.files.formula import Formula
from stacker.errors import SpecError
from stacker.text.node import Node


class Effect(StrEnum):
    """What a client does in the case that a rule describes."""

    WRONG = "wrong"
    """The client loads the checkpoint, computes something else, and reports no error."""
    FAILS = "fails"
    """The client, or its converter, refuses the checkpoint."""


class Basis(StrEnum):
    """How it was found out what a client does with a family."""

    MEASURED = "measured"
    """The client was run, and its logits were compared with those of transformers."""
    READ = "read"
    """The client's source code was read."""


@dataclass(frozen=True, slots=True)
class ClientRule:
    """A case in which a client does not compute what transformers computes.

    A rule has either `when`, a condition on the whole checkpoint, or `layers` with `value`. Formulas may use the
    config, `depth`, and `tied`: whether the embedding and the head have the same values.
    """

    effect: Effect
    source: str
    """The file and function of the client from which this is known, or how it was measured."""
    reason: str
    """What the client does, as a clause that follows a colon, such as "it uses the embedding as the head"."""
    when: Formula | None = None
    layers: str = ""
    """The name of the layer rule whose values the client derives from layer indices; "" if the rule has `when`."""
    value: Formula | None = None
    """The value that the client derives for layer `i`; the client is wrong where the config states another value."""
    before: str = ""
    """If not "", the rule holds only for versions of the client before this date, and not for the examined version."""


@dataclass(frozen=True, slots=True)
class ClientFacts:
    """What is known about one client and one family.

    The client computes the same as transformers unless one of the rules applies.
    """

    client: str
    basis: Basis
    rules: tuple[ClientRule, ...] = ()


@dataclass(frozen=True, slots=True)
class Client:
    """A client, the version of it that was examined, and the rules that hold for every family."""

    name: str
    version: str
    rules: tuple[ClientRule, ...] = ()


def parse_client_facts(entries: Entries) -> tuple[ClientFacts, ...]:
    """Parse the section `clients` of an architecture file; empty if there is no such section."""
    return tuple(_parse_facts(name, node) for name, node in read_section(entries, "clients").items())


def parse_clients(entries: Entries) -> tuple[Client, ...]:
    """Parse the file `_clients.yaml`, which lists every client with its version."""
    return tuple(_parse_client(name, node) for name, node in entries.items())


def _parse_facts(name: str, node: Node) -> ClientFacts:
    fields = expect_mapping(node)
    check_keys(fields, ("basis", *Effect))
    basis = expect_text(fields["basis"]) if "basis" in fields else ""
    if basis not in set(Basis):
        raise SpecError.of(f"'{name}' needs 'basis'", f"one of: {', '.join(Basis)}", node.mark)
    return ClientFacts(name, Basis(basis), _parse_rules(fields))


def _parse_client(name: str, node: Node) -> Client:
    fields = expect_mapping(node)
    check_keys(fields, ("version", *Effect))
    return Client(name, expect_text(fields["version"]), _parse_rules(fields))


def _parse_rules(fields: Entries) -> tuple[ClientRule, ...]:
    nodes = [(effect, item) for effect in Effect if effect in fields for item in list_items(fields[effect])]
    return tuple(_parse_rule(effect, item) for effect, item in nodes)


def _parse_rule(effect: Effect, node: Node) -> ClientRule:
    fields = expect_mapping(node)
    check_keys(fields, ("when", "layers", "value", "reason", "source", "before"))
    missing = [key for key in ("reason", "source") if key not in fields]
    if missing or ("when" in fields) == ("layers" in fields) or ("layers" in fields) != ("value" in fields):
        hint = "write {when: condition, reason: …, source: …} or {layers: rule, value: formula, reason: …, source: …}"
        raise SpecError.of("this does not describe a case", hint, node.mark)
    return ClientRule(
        effect=effect,
        source=expect_text(fields["source"]),
        reason=expect_text(fields["reason"]),
        when=read_formula(fields["when"]) if "when" in fields else None,
        layers=expect_text(fields["layers"]) if "layers" in fields else "",
        value=read_formula(fields["value"]) if "value" in fields else None,
        before=expect_text(fields["before"]) if "before" in fields else "",
    )
