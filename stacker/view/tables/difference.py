"""Shows the differences between two donors as tables for the terminal and as JSON."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from stacker.core.study.difference import ABSENT, Change, Difference, join_layers
from stacker.core.values.donor import Donor
from stacker.formats.json_object import Json
from stacker.tensors import TensorSpec
from stacker.view.scene.tabular import make_table

_LONGEST = 60
"""A config value is cut after this number of characters."""


def draw_difference(one: Donor, other: Donor, found: Difference) -> RenderableType:
    """The config entries and tensors that differ, with a column for each donor, and a line that counts the differences.

    A tensor that differs in several layers has one row for all of these layers.
    """
    names = _name_columns(one, other)
    config = [(key, _value_text(here), _value_text(there)) for key, here, there in found.config]
    tensors = [
        (f"{name}  {layers}".rstrip(), here, there) for name, layers, here, there in _list_tensors(one, other, found)
    ]
    tables = [make_table((head, *names), rows) for head, rows in (("config", config), ("tensors", tensors)) if rows]
    return Group(*(part for table in tables for part in (table, Text())), Text(_summary_text(found)))


def _name_columns(one: Donor, other: Donor) -> tuple[str, str]:
    return (one.source, other.source) if one.source != other.source else (f"{one.source} (A)", f"{other.source} (B)")


def _list_tensors(one: Donor, other: Donor, found: Difference) -> list[tuple[str, str, str, str]]:
    """A row for each tensor that differs: its name, its layers, its form in `one` and its form in `other`.

    The form is the dtype and shape as text, or ABSENT if the donor lacks the tensor.
    """
    rows = []
    for donor, specs, first in ((one, found.only_one, True), (other, found.only_other, False)):
        shown = {spec.name: _spec_text(spec) for spec in specs}
        for name, layers in join_layers(shown, donor.architecture.prefix).items():
            text = next(shown[spec.name] for spec in specs if _stands_for(name, spec.name, donor))
            rows.append((name, layers, text if first else ABSENT, ABSENT if first else text))
    changes = {change.name: change for change in found.changed}
    for name, layers in join_layers(changes, one.architecture.prefix).items():
        change = next(change for own, change in changes.items() if _stands_for(name, own, one))
        rows.append((name, layers, _spec_text(change.one), _spec_text(change.other)))
    return rows


def _stands_for(name: str, own: str, donor: Donor) -> bool:
    """Whether `name` is the tensor name `own` with `{i}` in place of the layer number."""
    return name in join_layers([own], donor.architecture.prefix)


def _spec_text(spec: TensorSpec) -> str:
    return f"{spec.dtype.label} [{', '.join(map(str, spec.shape))}]"


def _value_text(value: Json) -> str:
    text = value if value == ABSENT else json.dumps(value, ensure_ascii=False)
    return str(text) if len(str(text)) <= _LONGEST else f"{str(text)[: _LONGEST - 1]}…"


def _summary_text(found: Difference) -> str:
    if found.is_empty:
        return f"the same config, and {found.alike} tensors of the same names, shapes and types"
    counts = {
        "config entries that differ": len(found.config),
        "tensors only in the first": len(found.only_one),
        "tensors only in the second": len(found.only_other),
        "tensors in another form": len(found.changed),
        "tensors alike": found.alike,
    }
    return "; ".join(f"{words}: {count}" for words, count in counts.items() if count)


def difference_json(found: Difference) -> dict[str, Any]:
    """The difference between two donors as a JSON value."""
    return {
        "same": found.is_empty,
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
