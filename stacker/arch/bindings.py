"""Finds config entries that seem to treat layers differently by index but are not in the family's architecture file.

Examples are a list of layer indices, a period ("every 4 layers") or a string with a letter for each layer. Such entries
would become wrong if a stack moved layers to other indices.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field

from stacker.arch.dimensions import collect_names, select_text_config
from stacker.arch.files.architecture import Architecture, Config, WriteKind
from stacker.arch.files.formula import find_names
from stacker.arch.layer_rules import has_all_values, list_written_keys
from stacker.errors import Blame, Problem, Severity
from stacker.formats.json_object import Json

_PERIOD = re.compile(
    r"(^|_)(every(_n|_other|_nth)?(_layers?)?|interval|period|stride|frequency|freq|share_factor|layer_step|sparse_step)$"
    r"|_every_|_interval_|_period_|^every_|(^|_)cla_|alternat"
)
_OFFSET = re.compile(r"(^|_)offset$")
_LAYERS = re.compile(r"layer|block|idx|indices|index|_ids$|skip|bskcn|depth")
_NOT_LAYERS = re.compile(
    r"token|vocab|lang|label|section|size|dim|rank|channel|head|kernel|dilation|image|audio|vision|rope|scale"
)
_NUMBERS = re.compile(r"\s*\d+(\s*[,;\s]\s*\d+)*\s*")
_CHECKED_LISTS = ("layer_types", "mlp_layer_types")
"""Config keys of lists whose length transformers compares with the number of layers when it loads a config."""
_PATTERN = re.compile(r"[A-Za-z*_\-|]+")


@dataclass(frozen=True, slots=True)
class Binding:
    """A config entry that seems to treat layers differently, depending on their index.

    `meaning` describes the entry in messages. `value_at` returns a value for a layer index; layers with equal values
    are treated alike.
    """

    key: str
    meaning: str
    value_at: Callable[[int], Hashable] = field(compare=False, repr=False)


def find_bindings(config: Config, depth: int, explained: frozenset[str]) -> Iterator[Binding]:
    """Yields the config entries that seem to treat the `depth` layers differently; skips the keys in `explained`."""
    for key, value in config.items():
        if key not in explained and not key.startswith("_"):
            found = _recognise(key, value, depth, config)
            if found:
                yield found


def list_explained_keys(architecture: Architecture) -> frozenset[str]:
    """The config keys that an architecture mentions: keys that its formulas read, and keys that its rules write."""
    formulas = [architecture.depth, *(formula for _, formula in (*architecture.dimensions, *architecture.sized))]
    for rule in architecture.rules:
        formulas += (*rule.read, *((rule.when,) if rule.when else ()))
    return frozenset({*find_names(formulas), *list_written_keys(architecture), *architecture.agree})


def _recognise(key: str, value: Json, depth: int, config: Config) -> Binding | None:
    if isinstance(value, list):
        return _list_binding(key, value, depth)
    if isinstance(value, str):
        return _text_binding(key, value, depth)
    if isinstance(value, dict):
        return _mapping_binding(key, value, depth)
    if isinstance(value, int) and not isinstance(value, bool):
        return _number_binding(key, value, config)
    return None


def _list_binding(key: str, value: list[Json], depth: int) -> Binding | None:
    """Recognises a list of layer indices, or a list longer than the number of layers whose key mentions layers.

    Returns None for any other list.
    """
    numbers = [item for item in value if isinstance(item, int) and not isinstance(item, bool)]
    if numbers == value and numbers and _are_layer_numbers(numbers, depth) and not _NOT_LAYERS.search(key):
        chosen = frozenset(numbers)
        return Binding(key, "layers by number", lambda index: index in chosen)
    if len(value) > depth > 1 and _LAYERS.search(key) and not _NOT_LAYERS.search(key):
        words = [repr(item) for item in value]
        return Binding(
            key, "an entry for each layer, and more", lambda index: words[index] if index < len(words) else None
        )
    return None


def _are_layer_numbers(numbers: list[int], depth: int) -> bool:
    """Whether the numbers are ascending indices of some but not all layers; false for [0], which is too common."""
    in_range = all(0 <= number < depth for number in numbers)
    return in_range and numbers == sorted(set(numbers)) and len(numbers) < depth and numbers != [0]


def _text_binding(key: str, value: str, depth: int) -> Binding | None:
    """Recognises a string of layer indices ("3, 7"), or a pattern with a letter per layer that repeats over the layers.

    Returns None for any other string.
    """
    if _NUMBERS.fullmatch(value) and re.search(r"\D", value.strip()) and not _NOT_LAYERS.search(key):
        numbers = [int(number) for number in re.findall(r"\d+", value)]
        if _are_layer_numbers(numbers, depth):
            chosen = frozenset(numbers)
            return Binding(key, "layers by number, written as text", lambda index: index in chosen)
    if "pattern" in key and _PATTERN.fullmatch(value) and 1 < len(value) <= depth and len(set(value)) > 1:
        return Binding(key, "a pattern of layers, written as text", lambda index: value[index % len(value)])
    return None


def _mapping_binding(key: str, value: dict[str, Json], depth: int) -> Binding | None:
    """Recognises a mapping whose keys are all layer indices; None for other mappings."""
    if not value or not all(name.isdigit() and int(name) < depth for name in value):
        return None
    entries = {int(name): repr(item) for name, item in value.items()}
    return Binding(key, "values by layer number", entries.get)


def _number_binding(key: str, value: int, config: Config) -> Binding | None:
    """Recognises a period ("every 4 layers") or an offset (the first layer to which something applies).

    Returns None if the key suggests neither, or if the config also has a period to which the offset belongs.
    """
    if value > 1 and _PERIOD.search(key) and not _NOT_LAYERS.search(key):
        return Binding(key, f"something at every {value} layers", lambda index: index % value)
    stem = _OFFSET.sub("", key)
    partner = any(other != key and _PERIOD.search(other) and other.startswith(stem) for other in config)
    if value and stem != key and _LAYERS.search(key) and not partner and not _NOT_LAYERS.search(key):
        return Binding(key, "the first layer of something", lambda index: index)
    return None


def check_list_lengths(architecture: Architecture, config: Config, depth: int) -> Iterator[Problem]:
    """Problems of per-layer lists whose length is not the number of layers, such as those left over from pruning.

    A list may also have entries for the multi-token-prediction layers, and may be shorter if the formulas of its layer
    rule repeat it.
    """
    entries = select_text_config(architecture, config)
    names = {**collect_names(architecture, config), "depth": depth}
    extra = entries.get("num_nextn_predict_layers")
    allowed = {depth, depth + extra} if isinstance(extra, int) else {depth}
    rules = {rule.key: rule for rule in architecture.rules if rule.write is WriteKind.LIST}
    for key in sorted(rules.keys() | set(_CHECKED_LISTS)):
        value = entries.get(key)
        if not isinstance(value, list) or not value or len(value) in allowed:  # an empty list means the default
            continue
        message = f"'{key}' has {len(value)} entries, but the model has {depth} layers"
        if key in _CHECKED_LISTS:
            hint = "transformers does not load such a config: cut or complete the list"
            yield Problem(message, hint, blame=Blame.DONOR)
        elif len(value) < depth and not has_all_values(rules[key], names, depth):
            yield Problem(message, "complete the list: it says nothing of the last layers", blame=Blame.DONOR)
        elif len(value) > depth:
            hint = f"the last {len(value) - depth} are ignored; cut the list if it is left over from a deeper model"
            yield Problem(message, hint, severity=Severity.WARNING, blame=Blame.DONOR)
