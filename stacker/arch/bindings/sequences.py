"""Recognises lists, texts and mappings that treat layers differently: layer numbers, and values for single layers."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace

from stacker.arch.bindings.binding import NEVER_BY_LAYER, NOT_LAYERS, Binding, suggests_layers, suggests_sequence
from stacker.formats.json_object import Json

_NUMBERS = re.compile(r"\s*\d+(-\d+)?(\s*[,;\s]\s*\d+(-\d+)?)*\s*")
_LETTERS = re.compile(r"[A-Za-z*_\-|]+")
_CAPITALS = re.compile(r"[A-Z*\-|]+")
_RATIO = re.compile(r"(\d+) *[:/] *(\d+)")
_NUMBERED_KEY = re.compile(r"(?:(?:layers?|blocks?|h)[._]?)?(\d+)")
_PADDING = 3
"""How many entries a per-layer list may have beyond the number of layers to be recognised by its length alone."""
_FEWEST_LAYERS = 8
"""The least number of layers for which a list of about that length is probably not so long by chance."""
_MOST_KINDS = 4
"""The most different letters of a text that has a letter for each layer; words of that length have more."""


def recognise_list(key: str, value: list[Json], depth: int) -> Binding | None:
    """Recognise lists of layer numbers, of values for each layer, or of values that repeat; None for other lists."""
    return (
        _recognise_layer_numbers(key, value, depth)
        or _recognise_groups(key, value, depth)
        or _recognise_entry_for_each(key, value, depth)
        or _recognise_runs(key, value, depth)
        or _recognise_cycle(key, value, depth)
    )


def _recognise_layer_numbers(key: str, value: list[Json], depth: int) -> Binding | None:
    numbers = [item for item in value if isinstance(item, int) and not isinstance(item, bool)]
    named = suggests_layers(key)
    if numbers != value or NOT_LAYERS.search(key) or not _are_layer_numbers(numbers, depth, named=named):
        return None
    first = int(depth in numbers)  # a number as large as the depth is counted from one
    positive = frozenset(number - first for number in numbers if number >= 0)
    negative = frozenset(number for number in numbers if number < 0)
    return Binding(key, "layers by number", lambda index, end: index in positive or index - end in negative)


def _recognise_groups(key: str, value: list[Json], depth: int) -> Binding | None:
    """Recognise a list of lists of layer numbers; without a name that suggests layers, no layer may be in two."""
    groups = [item for item in value if isinstance(item, list)]
    if not groups or groups != value or NOT_LAYERS.search(key):
        return None
    named = suggests_layers(key)
    numbers = [number for group in groups for number in group]
    several = len(groups) > 1 and all(len(group) > 1 for group in groups)
    if not (named or (several and _are_layer_numbers(numbers, depth + 1, named=False))):
        return None
    if not all(_are_layer_numbers(group, depth, named=True) for group in groups):
        return None
    places = {number: order for order, group in enumerate(groups) for number in group}
    return Binding(key, "groups of layers by number", lambda index, _: places.get(index))


def _recognise_entry_for_each(key: str, value: list[Json], depth: int) -> Binding | None:
    more = _PADDING if depth >= _FEWEST_LAYERS else 0
    as_long = depth > 1 and depth <= len(value) <= depth + more and not NEVER_BY_LAYER.search(key)
    if not as_long and not (len(value) > depth > 1 and suggests_layers(key)):
        return None
    words = dict(enumerate(repr(item) for item in value))
    more_words = ", and more" if len(value) > depth else ""
    return Binding(key, f"an entry for each layer{more_words}", lambda index, _: words.get(index))


def _recognise_runs(key: str, value: list[Json], depth: int) -> Binding | None:
    """Recognise a list of lists or mappings that describe runs of layers, such as `[["full", 3], ["window", 9]]`."""
    parts = [item for item in value if isinstance(item, list | dict)]
    if len(parts) < len(value) or not parts or len(parts) >= depth or NEVER_BY_LAYER.search(key):
        return None
    numbers = [number for part in parts for number in (part if isinstance(part, list) else part.values())]
    counts = [number for number in numbers if isinstance(number, int) and not isinstance(number, bool)]
    if not counts or not (sum(counts) == depth or suggests_sequence(key) or suggests_layers(key)):
        return None
    return Binding(key, "runs of layers", lambda index, _: index)


def _recognise_cycle(key: str, value: Sequence[Json], depth: int) -> Binding | None:
    """Recognise a list that layers may repeat from its beginning, such as `[local, local, global]`."""
    plain = all(isinstance(item, str | bool | int) for item in value)
    different = len({repr(item) for item in value}) > 1
    if not (1 < len(value) < depth and plain and different and suggests_sequence(key)):
        return None
    return _bind_cycle(key, "a pattern of layers", [repr(item) for item in value])


def _bind_cycle(key: str, meaning: str, words: Sequence[Hashable]) -> Binding:
    return Binding(key, meaning, lambda index, _: words[index % len(words)])


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


def recognise_text(key: str, value: str, depth: int) -> Binding | None:
    """Recognise layer numbers ("3, 7" or "0-3"), a ratio ("5:1"), or a pattern with a letter or word per layer.

    Returns None for any other string.
    """
    if _NUMBERS.fullmatch(value) and re.search(r"\D", value.strip()) and not NOT_LAYERS.search(key):
        found = recognise_list(key, _read_numbers(value, depth), depth)
        return replace(found, meaning=f"{found.meaning}, written as text") if found else None
    ratio = _RATIO.fullmatch(value.strip())
    if ratio and "ratio" in key and not NOT_LAYERS.search(key):
        return _bind_cycle(key, "layers in a ratio", range(int(ratio[1]) + int(ratio[2])))
    words = _read_pattern(key, value, depth)
    return _bind_cycle(key, "a pattern of layers, written as text", words) if words else None


def _read_numbers(text: str, depth: int) -> list[Json]:
    """The numbers in a text; a range such as "0-3" includes its end, and ends at the depth."""
    ranges = [(int(start), int(end or start)) for start, end in re.findall(r"(\d+)(?:-(\d+))?", text)]
    return [number for start, end in ranges for number in range(start, min(end, depth) + 1)]


def _read_pattern(key: str, value: str, depth: int) -> Sequence[str]:
    """The letters or words of a text that has one for each layer or repeats over the layers; empty for other texts."""
    words = [word for word in re.split(r"[,;/\s]+", value.strip()) if word]
    if len(words) > 1:
        repeated = len(words) == depth and len(set(words)) <= _MOST_KINDS
        return words if (repeated or suggests_sequence(key)) and len(set(words)) > 1 else ()
    if not _LETTERS.fullmatch(value) or len(set(value)) < 2:
        return ()
    for_each = len(value) == depth >= _FEWEST_LAYERS and len(set(value)) <= _MOST_KINDS
    capitals = bool(_CAPITALS.fullmatch(value)) and suggests_sequence(key)
    named = ("pattern" in key or capitals) and len(value) <= depth
    return value if for_each or named else ()


def recognise_mapping(key: str, value: Mapping[str, Json], depth: int) -> Binding | None:
    """Recognise a mapping whose keys are all layer indices, such as "3" or "layer_3"; None for other mappings."""
    found = [(_NUMBERED_KEY.fullmatch(name), item) for name, item in value.items()]
    entries = {int(match[1]): repr(item) for match, item in found if match}
    if not entries or len(entries) < len(value) or max(entries) > depth:
        return None
    return Binding(key, "values by layer number", lambda index, _: entries.get(index))
