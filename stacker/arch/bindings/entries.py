"""Finds config entries that seem to treat layers differently by index but are not in the family's architecture file.

Examples are a list of layer indices, a period ("every 4 layers") or a string with a letter for each layer. Such entries
would become wrong if a stack moved layers to other indices.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from stacker.arch.bindings.binding import NOT_LAYERS, Binding
from stacker.arch.bindings.numbers import find_periods, recognise_number, recognise_switch
from stacker.arch.bindings.sequences import recognise_list, recognise_mapping, recognise_text
from stacker.arch.files.architecture import Architecture, Config
from stacker.arch.files.formula import find_names
from stacker.arch.layer_rules import list_written_keys
from stacker.formats.json_object import Json


def find_bindings(config: Config, depth: int, explained: frozenset[str], path: str = "") -> Iterator[Binding]:
    """Yield the config entries that seem to treat the `depth` layers differently, except the keys in `explained`.

    Entries of nested mappings are named by their path, such as `attn_config.local_layers`; `path` is that of `config`.
    """
    periods = find_periods(config)
    for key, value in config.items():
        name = path + key
        if name in explained or key.startswith("_"):
            continue
        found = _recognise(key, value, depth, periods)
        if found:
            yield replace(found, key=name)
        elif isinstance(value, dict) and _may_hold_layers(key, value):
            yield from find_bindings(value, depth, explained, f"{name}.")


def _may_hold_layers(key: str, value: Mapping[str, Json]) -> bool:
    """Whether a nested mapping may have entries for the decoder layers.

    Mappings that are the config of a model of their own, such as a vision tower, do not; nor do those whose name tells
    that they describe something else.
    """
    return "model_type" not in value and not NOT_LAYERS.search(key)


def list_explained_keys(architecture: Architecture) -> frozenset[str]:
    """The config keys that an architecture mentions: keys that its formulas read, and keys that its rules write."""
    formulas = [architecture.depth, *(formula for _, formula in (*architecture.dimensions, *architecture.sized))]
    for rule in architecture.rules:
        formulas += (*rule.read, *((rule.when,) if rule.when else ()))
    return frozenset({*find_names(formulas), *list_written_keys(architecture), *architecture.agree})


def _recognise(key: str, value: Json, depth: int, periods: Sequence[str]) -> Binding | None:
    match value:
        case list():
            return recognise_list(key, value, depth)
        case str():
            return recognise_text(key, value, depth)
        case dict():
            return recognise_mapping(key, value, depth)
        case bool():
            return recognise_switch(key) if value else None
        case int():
            return recognise_number(key, value, depth, periods)
        case _:
            return None
