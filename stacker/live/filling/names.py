"""Finds out which tensors of a checkpoint each parameter of a model in memory is made of, by transformers' own rules.

A checkpoint's names differ from those in memory where transformers renames modules, fuses experts or splits matrices.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from transformers.core_model_loading import WeightConverter, WeightRenaming, dot_natural_key, rename_source_key

Sources = Mapping[str, frozenset[str]]
"""For each name in memory, the names of the checkpoint's tensors that it is made of."""


def find_sources(model: Any, mapping: Iterable[Any], names: Iterable[str]) -> Sources:
    """For each parameter or buffer of `model` the names among `names` that it is loaded from.

    `mapping` has the conversions that transformers applies to a checkpoint of this model. Names that the model does not
    use are left out, and so are those of which the conversion does not tell what they become.
    """
    state = model.state_dict()
    entries = copy.deepcopy(list(mapping))  # some remember what they have renamed
    renamings = [each for each in entries if isinstance(each, WeightRenaming)]
    converters = [each for each in entries if isinstance(each, WeightConverter)]
    by_pattern = {pattern: each for each in converters for pattern in each.source_patterns}
    found: dict[str, set[str]] = defaultdict(set)
    for name in sorted(names, key=dot_natural_key):  # the order in which transformers loads them
        renamed, pattern = rename_source_key(name, renamings, converters, model.base_model_prefix, state)
        if renamed not in state and name in state:
            renamed, pattern = rename_source_key(name, [], [], model.base_model_prefix, state)
        for target in _list_targets(renamed, by_pattern[pattern] if pattern else None):
            if target in state:
                found[target].add(name)
    return {target: frozenset(sources) for target, sources in found.items()}


def _list_targets(renamed: str, converter: WeightConverter | None) -> Iterator[str]:
    """The names in memory that a tensor contributes to; a conversion may split a tensor into several."""
    if converter is None:
        yield renamed
        return
    first, *others = converter.target_patterns
    if not others or first in renamed:
        yield renamed
        yield from (renamed.replace(first, pattern) for pattern in others)
