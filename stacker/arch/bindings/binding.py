"""The value of a recognised config entry, and the names by which entries are recognised or excluded."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Binding:
    """A config entry that seems to treat layers differently, depending on their index.

    `meaning` describes the entry in messages. `value_at` returns a value for a layer index in a model of the given
    depth; layers with equal values are treated alike.
    """

    key: str
    meaning: str
    value_at: Callable[[int, int], Hashable] = field(compare=False, repr=False)


NOT_LAYERS = re.compile(
    r"token|vocab|lang|label|section|size|dim|rank|channel|head|kernel|dilation|image|audio|vision|video|patch|pool|conv|rope|scale"
)
"""Matches keys about something else than layers, unless the key also says "layer"."""
NEVER_BY_LAYER = re.compile(r"token|vocab|lang|label|image|audio|vision|video|grid")
"""Matches keys that are never about decoder layers."""
_LAYERS = re.compile(r"layer|block|idx|indices|index|_ids$|skip|bskcn|depth")
_LAYER_WORD = re.compile(r"(^|_)layers?(_|$)|(^|_)every_")
_SEQUENCE = re.compile(
    r"pattern|schedule|sequence|cycle|(^|_)(layers|blocks)$|(^|_|layer|block|attn|mlp)(types|kinds)(_|$)"
)


def suggests_layers(key: str) -> bool:
    """Whether a key suggests that its entry is about layers."""
    return bool(_LAYERS.search(key)) and not NOT_LAYERS.search(key)


def suggests_sequence(key: str) -> bool:
    """Whether a key suggests that its entry says what kinds of layers follow each other."""
    return bool(_SEQUENCE.search(key)) and not NEVER_BY_LAYER.search(key)


def is_about_other_things(key: str) -> bool:
    """Whether a key says that its entry is about something else than decoder layers."""
    return bool((NEVER_BY_LAYER if _LAYER_WORD.search(key) else NOT_LAYERS).search(key))
