"""Recognises numbers and switches that treat layers differently: periods, counts, the number of one layer."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence

from stacker.arch.bindings.binding import NEVER_BY_LAYER, Binding, is_about_other_things, suggests_layers
from stacker.arch.files.architecture import Config

_KIND = (
    r"(hybrid|mamba|ssm|recurrent|rnn|moe|expert|attn|attention|dense|sparse|swa|sliding|window|full|global|local"
    r"|kv|cache|rope|nope|mb|cla)"
)
"""Matches what the layers at a period, or from some layer on, may have."""
_PERIOD = re.compile(
    r"(^|_)(every(_\w+)?|interval|period|cycle|modulo|frequency|freq|share_factor|layer_(step|stride)|sparse_step|sharing)$"
    r"|_every_|_interval_|_period_|(^|_)cla_|alternat|(window|attention|attn|layers?|block)_pattern$"
    r"|layers?_group|(^|_)layers?_per_|_per_(attn|attention|global)(_layer)?$"
    rf"|(^|_){_KIND}_(step|skip|per_layer)$"
)
_RATIO = re.compile(r"(global|full|local|swa|layers?)_ratio$")
_OFFSET = re.compile(r"(^|_)(offset|(start|end|begin|first|last|from|until)(_(layer|index|idx))?)$")
_KIND_OFFSET = re.compile(rf"(^|_){_KIND}_(offset|start|begin|end|from|until|after|before)$")
_COUNT = re.compile(r"(^|_)(first|last)(_|$)|(^|_)layers?(_|$)")
_OTHER_COUNTS = re.compile(
    r"hidden|encoder|mtp|nextn|predict|experts|adapter|projector|pooler|norm|mlp_layers|ffn_layers|fc_layers|vision|mm_|insert"
)
_SWITCH = re.compile(
    r"alternat|(^|_)(odd|even)(_|$)|(first|last)_(layer|block)|by_(layer|depth)|layer_(idx|index)"
    r"|interleaved?_(layers?|attn|attention|moe|window|swa)|(layers?|attn|attention|moe|window|swa)_interleaved?$"
)


def find_periods(config: Config) -> list[str]:
    """The keys of a config that name a period, in alphabetical order."""
    return sorted(filter(_PERIOD.search, config))


def recognise_number(key: str, value: int, depth: int, periods: Sequence[str]) -> Binding | None:
    """Recognise a period ("every 4 layers"), a number of layers of a kind, or the number of a layer.

    Returns None if the key suggests none of these, or if it is an offset that belongs to one of `periods`.
    """
    if is_about_other_things(key):
        return None
    if _RATIO.search(key) and value > 1:  # 5 may be "every fifth" or "five to one"
        return Binding(key, f"layers in a ratio of {value} to 1", lambda i, _: (i % value, i % (value + 1)))
    if _PERIOD.search(key):
        meaning = f"something at every {value} layers"
        return Binding(key, meaning, lambda index, _: index % value) if value > 1 else None
    stem = _OFFSET.sub("", key)
    offset = (stem != key and suggests_layers(key)) or _KIND_OFFSET.search(key)
    if value and offset:
        first = bisect_left(periods, stem)  # keys that begin with the stem follow each other
        partner = any(other != key and other.startswith(stem) for other in periods[first : first + 2])
        return None if partner else Binding(key, "the first layer of something", lambda index, _: index)
    if 0 < value < depth and _COUNT.search(key) and not _OTHER_COUNTS.search(key):
        meaning = "so many layers of a kind, or the number of a layer"
        return Binding(key, meaning, lambda i, end: (i < value, i == value, i < end - value))
    return None


def recognise_switch(key: str) -> Binding | None:
    """Recognise the key of an entry that is true, such as `alternating_attention`."""
    if _SWITCH.search(key) and not NEVER_BY_LAYER.search(key):
        return Binding(key, "something that depends on a layer's number", lambda index, _: index)
    return None
