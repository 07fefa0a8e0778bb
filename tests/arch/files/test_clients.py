"""Parsing of what architecture files say of other programs."""

from __future__ import annotations

import pytest

from stacker.arch.files.clients import Basis, Effect
from stacker.arch.files.formula import parse_formula
from stacker.arch.files.parser import parse_architecture
from stacker.errors import SpecError

HEAD = "family: f\nmodel_types: [f]\ndepth: n_layer\nprefix: h.{i}.\n"
CLIENTS = (
    "clients:\n"
    "  one: {basis: read}\n"
    "  two:\n"
    "    basis: measured\n"
    "    wrong: [{layers: kind, value: i % 2, reason: r, source: s, before: June}]\n"
    "    fails: [{when: not tied, reason: r, source: s}]\n"
)


def test_a_whole_section() -> None:
    """Both kinds of cases are parsed, with their effects."""
    one, two = parse_architecture(HEAD + CLIENTS, "f.yaml").clients
    assert (one.client, one.basis, one.rules) == ("one", Basis.READ, ())
    wrong, fails = two.rules
    assert (wrong.effect, wrong.layers, wrong.before) == (Effect.WRONG, "kind", "June")
    assert wrong.value == parse_formula("i % 2")
    assert (fails.effect, fails.when) == (Effect.FAILS, parse_formula("not tied"))


def test_it_is_not_inherited() -> None:
    """A family that extends another file says nothing of programs unless its own file does."""
    text = "like: f\nfamily: g\nmodel_types: [g]\n"
    assert parse_architecture(text, "g.yaml", lambda _: HEAD + CLIENTS).clients == ()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{}", "'x' needs 'basis'"),
        ("{basis: heard}", "'x' needs 'basis'"),
        ("{basis: read, wrong: [{when: a, reason: r}]}", "does not describe a case"),
        ("{basis: read, wrong: [{when: a, layers: k, value: i, reason: r, source: s}]}", "does not describe a case"),
        ("{basis: read, wrong: [{layers: k, reason: r, source: s}]}", "does not describe a case"),
        ("{basis: read, slow: []}", "unknown key 'slow'"),
    ],
)
def test_mistakes_have_places(entry: str, message: str) -> None:
    """Each mistake is an error at its place."""
    with pytest.raises(SpecError, match=message) as caught:
        parse_architecture(f"{HEAD}clients: {{x: {entry}}}", "f.yaml")
    assert str(caught.value.problems[0].mark).startswith("f.yaml:5")
