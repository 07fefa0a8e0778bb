"""Families as people and programs read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stacker.arch.families import tried_stacks
from stacker.arch.files.architecture import Architecture, LayerRule, TensorTemplate


def draw_architectures(families: Iterable[Architecture]) -> Table:
    """One row a family."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("family", "model types", "depth", "follows the layers", "tried"):
        table.add_column(column, overflow="fold")
    for family in families:
        rules = ", ".join(rule.key or rule.name for rule in family.rules)
        right = [word == "right" for word in _tried(family).values()]
        tried = f"{sum(right)} of {len(right)} stacks" if right else ""
        table.add_row(family.name, ", ".join(family.model_types), family.depth.text, rules, tried)
    return table


def draw_architecture(family: Architecture) -> RenderableType:
    """One family in full: tensors with role and shape, rules, notes."""
    head = Text.assemble((family.name, "bold"), f"  {', '.join(family.model_types)}\n  layers: {family.prefix}")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("part", "tensor", "role", "shape", "where"):
        table.add_column(column, overflow="fold")
    for template in family.tensors:
        words = (str(template.part), template.name, template.role, _shape(template), _where(template))
        table.add_row(*map(Text, words))  # brackets are no markup here
    rules = [Text(f"  {_rule(rule)}") for rule in family.rules]
    notes = [Text(f"  {note}") for note in family.notes]
    tried = [Text(f"  {stack}: {word}") for stack, word in _tried(family).items()]
    parts = (("follows the layers", rules), ("notes", notes), ("tried with tiny donors", tried))
    said = [line for title, lines in parts if lines for line in (Text(), Text(title, "bold"), *lines)]
    return Group(head, Text(), table, *said)


def _tried(family: Architecture) -> Mapping[str, str]:
    """How stacks of the family came out when they were tried against transformers."""
    return next((tried_stacks()[name] for name in family.model_types if name in tried_stacks()), {})


def _shape(template: TensorTemplate) -> str:
    return f"[{', '.join(formula.text for formula in template.shape)}]"


def _where(template: TensorTemplate) -> str:
    parts = [
        f"if {template.when.text}" if template.when else "",
        f"for each of {template.count.text}" if template.count else "",
        "optional" if template.optional else "",
    ]
    return " ".join(part for part in parts if part)


def _rule(rule: LayerRule) -> str:
    reason = f": {rule.reason}" if rule.reason else ""
    readers = " or else ".join(reader.text for reader in rule.read)
    return f"{rule.key or rule.name} ({rule.write}){reason}, read as {readers}"


def architecture_json(family: Architecture) -> dict[str, Any]:
    """A family for programs."""
    return {
        "name": family.name,
        "model_types": list(family.model_types),
        "depth": family.depth.text,
        "prefix": family.prefix,
        "tensors": [
            {"name": each.name, "part": str(each.part), "role": each.role, "shape": [size.text for size in each.shape]}
            for each in family.tensors
        ],
        "rules": [{"key": rule.key, "write": str(rule.write), "reason": rule.reason} for rule in family.rules],
        "notes": list(family.notes),
        "tried": dict(_tried(family)),
    }
