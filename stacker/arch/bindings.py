"""Finds config entries that seem to treat layers differently by index but are not in the family's architecture file.

Examples are a list of layer indices, a period ("every 4 layers") or a string with a letter for each layer. Such entries
would become wrong if a stack moved layers to other indices.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from stacker.arch.dimensions import collect_names, count_prediction_layers, select_text_config
from stacker.arch.files.architecture import Architecture, Config, LayerRule, WriteKind
from stacker.arch.files.formula import find_names
from stacker.arch.layer_rules import has_all_values, list_written_keys
from stacker.errors import Blame, Problem, Severity
from stacker.formats.json_object import Json

_PERIOD = re.compile(
    r"(^|_)(every(_n|_other|_nth)?(_layers?)?|interval|period|stride|frequency|freq|share_factor|layer_step|sparse_step)$"
    r"|_every_|_interval_|_period_|^every_|(^|_)cla_|alternat"
    r"|(window|attention|attn|layers?|block)_pattern$|layers?_group|(global|local|layers?)_ratio$"
)
_OFFSET = re.compile(r"(^|_)(offset|(start|end|begin|first|last|from|until)(_(layer|index|idx))?)$")
_LAYERS = re.compile(r"layer|block|idx|indices|index|_ids$|skip|bskcn|depth")
_NOT_LAYERS = re.compile(
    r"token|vocab|lang|label|section|size|dim|rank|channel|head|kernel|dilation|image|audio|vision|video|patch|pool|conv|rope|scale"
)
_NEVER_BY_LAYER = re.compile(r"token|vocab|lang|label|image|audio|vision|video|grid")
_COUNT = re.compile(r"(^|_)(first|last)(_|$)|(^|_)(n|num)_\w+_layers$")
_OTHER_COUNTS = re.compile(r"hidden|encoder|mtp|nextn|predict|experts|" + _NOT_LAYERS.pattern)
_NUMBERS = re.compile(r"\s*\d+(\s*[,;\s]\s*\d+)*\s*")
_CHECKED_LISTS = (
    "activation_sparsity_pattern", "attention_layers", "layer_types", "layers_block_type",
    "num_attention_heads_per_layer",
)  # fmt: skip
"""Config keys of lists whose length transformers compares with the number of layers when it loads a config."""
_CHECKED_BESIDE_TYPES = "mlp_layer_types"
"""The key of a list whose length transformers compares only if the config also has `layer_types`."""
_PATTERN = re.compile(r"[A-Za-z*_\-|]+")
_RATIO = re.compile(r"(\d+) *[:/] *(\d+)")
_NUMBERED_KEY = re.compile(r"(?:(?:layers?|blocks?|h)[._]?)?(\d+)")
_PADDING = 3
"""How many entries a per-layer list may have beyond the number of layers to be recognised by its length alone."""
_FEWEST_LAYERS = 8
"""The least number of layers for which a list of about that length is probably not so long by chance."""


@dataclass(frozen=True, slots=True)
class Binding:
    """A config entry that seems to treat layers differently, depending on their index.

    `meaning` describes the entry in messages. `value_at` returns a value for a layer index; layers with equal values
    are treated alike.
    """

    key: str
    meaning: str
    value_at: Callable[[int], Hashable] = field(compare=False, repr=False)


def find_bindings(config: Config, depth: int, explained: frozenset[str], path: str = "") -> Iterator[Binding]:
    """Yields the config entries that seem to treat the `depth` layers differently; skips the keys in `explained`.

    Entries of nested mappings are named by their path, such as `attn_config.local_layers`; `path` is that of `config`.
    """
    periods = sorted(filter(_PERIOD.search, config))
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
    """Whether a nested mapping can be about the decoder layers: it is no tower and not about other things."""
    return "model_type" not in value and not _NOT_LAYERS.search(key)


def list_explained_keys(architecture: Architecture) -> frozenset[str]:
    """The config keys that an architecture mentions: keys that its formulas read, and keys that its rules write."""
    formulas = [architecture.depth, *(formula for _, formula in (*architecture.dimensions, *architecture.sized))]
    for rule in architecture.rules:
        formulas += (*rule.read, *((rule.when,) if rule.when else ()))
    return frozenset({*find_names(formulas), *list_written_keys(architecture), *architecture.agree})


def _recognise(key: str, value: Json, depth: int, periods: Sequence[str]) -> Binding | None:
    if isinstance(value, list):
        return _list_binding(key, value, depth)
    if isinstance(value, str):
        return _text_binding(key, value, depth)
    if isinstance(value, dict):
        return _mapping_binding(key, value, depth)
    if isinstance(value, int) and not isinstance(value, bool):
        return _number_binding(key, value, depth, periods)
    return None


def _list_binding(key: str, value: list[Json], depth: int) -> Binding | None:
    """Recognises a list of layer indices, or a list with an entry for each layer; None for any other list."""
    numbers = [item for item in value if isinstance(item, int) and not isinstance(item, bool)]
    named = bool(_LAYERS.search(key)) and not _NOT_LAYERS.search(key)
    if numbers == value and _are_layer_numbers(numbers, depth, named=named) and not _NOT_LAYERS.search(key):
        first = int(depth in numbers)  # a number as large as the depth is counted from one
        chosen = frozenset(number - first if number >= 0 else depth + number for number in numbers)
        return Binding(key, "layers by number", lambda index: index in chosen)
    groups = [item for item in value if isinstance(item, list)]
    if named and groups and groups == value and all(_are_layer_numbers(group, depth, named=True) for group in groups):
        places = {number: order for order, group in enumerate(groups) for number in group}
        return Binding(key, "groups of layers by number", places.get)
    if _has_entry_for_each(key, len(value), depth) or (len(value) > depth > 1 and named):
        words = [repr(item) for item in value]
        more = ", and more" if len(value) > depth else ""
        return Binding(key, f"an entry for each layer{more}", dict(enumerate(words)).get)
    return None


def _has_entry_for_each(key: str, length: int, depth: int) -> bool:
    """Whether a list is so long that it probably has an entry for each layer, and perhaps a few more."""
    more = _PADDING if depth >= _FEWEST_LAYERS else 0
    return depth > 1 and depth <= length <= depth + more and not _NEVER_BY_LAYER.search(key)


def _are_layer_numbers(numbers: Sequence[Json], depth: int, *, named: bool) -> bool:
    """Whether the items are indices of some but not all layers.

    Unless the entry's name speaks of layers (`named`), the numbers must also be ascending, from 0 up to less than the
    depth, and not just [0], which is too common. With such a name, negative numbers count from the last layer.
    """
    known = [number for number in numbers if isinstance(number, int) and not isinstance(number, bool)]
    if not known or len(known) < len(numbers) or len(set(known)) < len(known) or len(known) >= depth:
        return False
    if named:
        return -depth <= min(known) and max(known) <= depth
    return min(known) >= 0 and max(known) < depth and known == sorted(known) and known != [0]


def _text_binding(key: str, value: str, depth: int) -> Binding | None:
    """Recognises a string of layer indices ("3, 7"), a ratio ("5:1"), or a pattern with a letter per layer.

    Returns None for any other string.
    """
    if _NUMBERS.fullmatch(value) and re.search(r"\D", value.strip()) and not _NOT_LAYERS.search(key):
        numbers: list[Json] = [int(number) for number in re.findall(r"\d+", value)]
        found = _list_binding(key, numbers, depth)
        return replace(found, meaning=f"{found.meaning}, written as text") if found else None
    ratio = _RATIO.fullmatch(value.strip())
    if ratio and "ratio" in key and not _NOT_LAYERS.search(key):
        return Binding(key, "layers in a ratio", lambda index: index % (int(ratio[1]) + int(ratio[2])))
    if "pattern" in key and _PATTERN.fullmatch(value) and 1 < len(value) <= depth and len(set(value)) > 1:
        return Binding(key, "a pattern of layers, written as text", lambda index: value[index % len(value)])
    return None


def _mapping_binding(key: str, value: dict[str, Json], depth: int) -> Binding | None:
    """Recognises a mapping whose keys are all layer indices, such as "3" or "layer_3"; None for other mappings."""
    found = [(_NUMBERED_KEY.fullmatch(name), item) for name, item in value.items()]
    entries = {int(match[1]): repr(item) for match, item in found if match}
    if not entries or len(entries) < len(value) or max(entries) > depth:
        return None
    return Binding(key, "values by layer number", entries.get)


def _number_binding(key: str, value: int, depth: int, periods: Sequence[str]) -> Binding | None:
    """Recognises a period ("every 4 layers"), a number of layers at one end, or the first layer of something (offset).

    Returns None if the key suggests neither, or if the offset belongs to one of `periods`, which are the config's keys
    of periods in order.
    """
    if value > 1 and _PERIOD.search(key) and not _NOT_LAYERS.search(key):
        return Binding(key, f"something at every {value} layers", lambda index: index % value)
    if 0 < value < depth and _COUNT.search(key) and not _OTHER_COUNTS.search(key):
        ends = (value, depth - value)
        return Binding(key, "so many layers at one end", lambda index: tuple(index < end for end in ends))
    stem = _OFFSET.sub("", key)
    if value and stem != key and _LAYERS.search(key) and not _NOT_LAYERS.search(key):
        first = bisect_left(periods, stem)  # keys with this beginning follow each other
        if not any(other != key and other.startswith(stem) for other in periods[first : first + 2]):
            return Binding(key, "the first layer of something", lambda index: index)
    return None


def check_list_lengths(architecture: Architecture, config: Config, depth: int) -> Iterator[Problem]:
    """Problems of per-layer lists whose length is not the number of layers, such as those left over from pruning.

    A list may also have entries for the multi-token-prediction layers, and may be shorter if the formulas of its layer
    rule repeat it.
    """
    entries = select_text_config(architecture, config)
    names = {**collect_names(architecture, config), "depth": depth}
    allowed = {depth, depth + count_prediction_layers(entries)}
    rules = {rule.key: rule for rule in architecture.rules if rule.write is WriteKind.LIST}
    checked = {*_CHECKED_LISTS, *((_CHECKED_BESIDE_TYPES,) if entries.get("layer_types") else ())}
    for key in sorted(rules.keys() | checked):
        value = entries.get(key)
        if not isinstance(value, list) or not value or len(value) in allowed:  # an empty list means the default
            continue
        message = f"'{key}' has {len(value)} entries, but the model has {depth} layers"
        if key in checked:
            hint = "transformers does not load such a config: cut or complete the list"
            yield Problem(message, hint, blame=Blame.DONOR)
        elif len(value) < depth and not has_all_values(_only_from(rules[key]), names, depth):
            yield Problem(message, "complete the list: it says nothing of the last layers", blame=Blame.DONOR)
        elif len(value) > depth:
            hint = f"the last {len(value) - depth} are ignored; cut the list if it is left over from a deeper model"
            yield Problem(message, hint, severity=Severity.WARNING, blame=Blame.DONOR)


def _only_from(rule: LayerRule) -> LayerRule:
    """The rule with only the formulas that read an entry of its list, since programs do not fall back on others."""
    own = (formula for formula in rule.read if rule.key in find_names([formula]) and formula.text != rule.key)
    return replace(rule, read=tuple(own))
