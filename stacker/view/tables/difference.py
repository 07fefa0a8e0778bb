"""What two donors have not in common, as people and programs read it."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stacker.core.study.difference import ABSENT, Change, Difference, by_layers
from stacker.core.values.donor import Donor
from stacker.formats.json_object import Json
from stacker.tensors import TensorSpec

LONGEST = 60


def draw_difference(one: Donor, other: Donor, found: Difference) -> RenderableType:
    """Config entries side by side, then tensors; those of many layers on one line."""
    names = _columns(one, other)
    parts: list[RenderableType] = []
    if found.config:
        table = _table("config", *names)
        for key, here, there in found.config:
            table.add_row(key, _value(here), _value(there))
        parts += [table, Text()]
    tensors = _table("tensors", *names)
    for name, layers, here, there in _rows(one, other, found):
        tensors.add_row(f"{name}  {layers}".rstrip(), here, there)
    if tensors.row_count:
        parts += [tensors, Text()]
    return Group(*parts, Text(_summary(found)))


def _columns(one: Donor, other: Donor) -> tuple[str, str]:
    return (one.source, other.source) if one.source != other.source else (f"{one.source} (A)", f"{other.source} (B)")


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _rows(one: Donor, other: Donor, found: Difference) -> list[tuple[str, str, str, str]]:
    rows = []
    for donor, specs, first in ((one, found.only_one, True), (other, found.only_other, False)):
        shown = {spec.name: _spec(spec) for spec in specs}
        for name, layers in by_layers(shown, donor.architecture.prefix).items():
            text = next(shown[spec.name] for spec in specs if _is(spec.name, name, donor))
            rows.append((name, layers, text if first else ABSENT, ABSENT if first else text))
    changes = {change.name: change for change in found.changed}
    for name, layers in by_layers(changes, one.architecture.prefix).items():
        change = next(each for own, each in changes.items() if _is(own, name, one))
        rows.append((name, layers, _spec(change.one), _spec(change.other)))
    return rows


def _is(own: str, name: str, donor: Donor) -> bool:
    """Whether a tensor is one of those that `name` stands for."""
    return name in by_layers([own], donor.architecture.prefix)


def _spec(spec: TensorSpec) -> str:
    return f"{spec.dtype.label} [{', '.join(map(str, spec.shape))}]"


def _value(value: Json) -> str:
    text = value if value == ABSENT else json.dumps(value, ensure_ascii=False)
    return str(text) if len(str(text)) <= LONGEST else f"{str(text)[: LONGEST - 1]}…"


def _summary(found: Difference) -> str:
    if found.nothing:
        return f"no difference: the same config, {found.alike} tensors of the same names, shapes and types"
    counts = {
        "config entries that differ": len(found.config),
        "tensors only in the first": len(found.only_one),
        "tensors only in the second": len(found.only_other),
        "tensors in another form": len(found.changed),
        "tensors alike": found.alike,
    }
    return "; ".join(f"{words}: {count}" for words, count in counts.items() if count)


def difference_json(found: Difference) -> dict[str, Any]:
    """A difference for programs."""
    return {
        "same": found.nothing,
        "config": {key: [here, there] for key, here, there in found.config},
        "only_first": [_spec_json(spec) for spec in found.only_one],
        "only_second": [_spec_json(spec) for spec in found.only_other],
        "changed": [_change_json(change) for change in found.changed],
        "alike": found.alike,
    }


def _spec_json(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "dtype": spec.dtype.label, "shape": list(spec.shape)}


def _change_json(change: Change) -> dict[str, Any]:
    forms = [{"dtype": each.dtype.label, "shape": list(each.shape)} for each in (change.one, change.other)]
    return {"name": change.name, "first": forms[0], "second": forms[1]}
