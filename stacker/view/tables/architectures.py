"""Shows architecture families as tables for the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stacker.arch.families import read_tested_stacks
from stacker.arch.files.architecture import FOLDS, Architecture, LayerRule, TensorTemplate
from stacker.view.scene.tabular import make_table


def draw_architectures(families: Iterable[Architecture]) -> Table:
    """A table with one row for each architecture family."""
    columns = ("family", "model types", "depth", "follows the layers", "tried")
    return make_table(columns, [_family_row(family) for family in families])


def _family_row(family: Architecture) -> tuple[str, ...]:
    rules = ", ".join(rule.key or rule.name for rule in family.rules)
    right = [result == "right" for result in _find_tried(family).values()]
    tried = f"{sum(right)} of {len(right)} stacks" if right else ""
    return family.name, ", ".join(family.model_types), family.depth.text, rules, tried


def draw_architecture(family: Architecture) -> RenderableType:
    """One architecture family in full: its tensors, config rules and notes.

    Last come the results of tests that compared stacks of the family with transformers.
    """
    head = Text.assemble((family.name, "bold"), f"  {', '.join(family.model_types)}\n  layers: {family.prefix}")
    rows = [(str(each.part), each.name, each.role, _shape_text(each), _condition_text(each)) for each in family.tensors]
    sections = {
        "follows the layers": [_rule_text(rule) for rule in family.rules],
        "hops": _list_hop_texts(family),
        "notes": family.notes,
        "tried with tiny donors": [f"{stack}: {result}" for stack, result in _find_tried(family).items()],
    }
    below = [
        line
        for title, lines in sections.items()
        if lines
        for line in (Text(), Text(title, "bold"), *(Text(f"  {line}") for line in lines))
    ]
    return Group(head, Text(), make_table(("part", "tensor", "role", "shape", "where"), rows), *below)


def _list_hop_texts(family: Architecture) -> list[str]:
    """What a hop does to tensors that differ from the general rule, and when and why hops are refused."""
    words = {fold: word for word, fold in FOLDS.items()}
    refusals = [
        f"refused{'' if condition.text == 'True' else f' if {condition.text}'}: {reason}"
        for condition, reason in family.no_hop
    ]
    return [*(f"{match}: {words[fold]}" for match, fold in family.hop), *refusals]


def _find_tried(family: Architecture) -> Mapping[str, str]:
    """Results, such as `right`, of comparing stacks of the family with transformers, by description of the stack.

    Empty if no stack of the family was compared.
    """
    return next((read_tested_stacks()[name] for name in family.model_types if name in read_tested_stacks()), {})


def _shape_text(template: TensorTemplate) -> str:
    return f"[{', '.join(formula.text for formula in template.shape)}]"


def _condition_text(template: TensorTemplate) -> str:
    parts = [
        f"if {template.when.text}" if template.when else "",
        f"for each of {template.count.text}" if template.count else "",
        "optional" if template.optional else "",
    ]
    return " ".join(part for part in parts if part)


def _rule_text(rule: LayerRule) -> str:
    reason = f": {rule.reason}" if rule.reason else ""
    readers = " or else ".join(reader.text for reader in rule.read)
    return f"{rule.key or rule.name} ({rule.write}){reason}, read as {readers}"


def architecture_json(family: Architecture) -> dict[str, Any]:
    """An architecture family as a JSON value."""
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
        "hops": _list_hop_texts(family),
        "notes": list(family.notes),
        "tried": dict(_find_tried(family)),
    }
