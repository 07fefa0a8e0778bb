"""What the page about families says of other programs: a column for each, and a list of what they get wrong."""

from __future__ import annotations

from collections.abc import Iterable

from stacker.arch.families import find_architecture, read_clients
from stacker.arch.files.clients import Basis, ClientFacts, ClientRule, Effect

PROGRAMS = [client.name for client in read_clients()]
INTRODUCTION = """## Other programs

The last columns are about other programs: {versions}. They tell whether the program computes a stack of the family
as transformers does: **all** stacks, or only **some**, for the reasons below the table. An empty cell means that
nothing is known. A cell with a star was obtained by reading the program's source; the others were measured, with
tiny donors of random weights whose logits were compared. `python -m tools.clients` repeats this for llama.cpp and MLX.
"""
_EFFECTS = {Effect.WRONG: "wrong", Effect.FAILS: "does not load"}


def introduction() -> str:
    """The text above the table that explains the columns of other programs."""
    return INTRODUCTION.format(versions=", ".join(f"{client.name} ({client.version})" for client in read_clients()))


def program_cells(model_type: str) -> list[str]:
    """For each program, a word on what is known of it and a family; "" if nothing is known."""
    facts = {each.client: each for each in _facts(model_type)}
    return [_cell(facts[name]) if name in facts else "" for name in PROGRAMS]


def _facts(model_type: str) -> tuple[ClientFacts, ...]:
    family = find_architecture({"model_type": model_type})
    return family.clients if family else ()


def _cell(facts: ClientFacts) -> str:
    word = "some" if any(not rule.before for rule in facts.rules) else "all"
    return word + ("*" if facts.basis is Basis.READ else "")


def list_mistakes(model_types: Iterable[str]) -> list[str]:
    """A Markdown list of the cases in which a program computes a stack incorrectly, by family, with the source."""
    return [
        f"- **{name}**, {each.client}: {_case(rule)} ({rule.source})"
        for name in sorted(model_types)
        for each in _facts(name)
        for rule in each.rules
    ]


def _case(rule: ClientRule) -> str:
    when = f"`{rule.when.text}`" if rule.when else ""
    if rule.value:
        when = f"a layer's `{rule.layers}` is not `{rule.value.text}`"
    before = f" before {rule.before}" if rule.before else ""
    return f"{_EFFECTS[rule.effect]}{before} if {when}: {rule.reason}"
