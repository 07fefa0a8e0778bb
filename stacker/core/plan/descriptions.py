"""Carries descriptions of quantised weights that torchao keeps in the headers of safetensors files.

A weight `a.weight` of a tensor class is stored as several tensors such as `a._weight_qdata` and `a._weight_scale`; the
header has its class under the key `a.weight`, and the names of all weights, as JSON, under `tensor_names`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from stacker.core.plan.tensors import PlannedTensor
from stacker.core.values.donor import Donor, collect_donors
from stacker.core.values.expression import Copy

_NAMES = "tensor_names"


def describe_tensors(tensors: Sequence[PlannedTensor], donors: Mapping[str, Donor]) -> dict[str, str]:
    """The descriptions of a stack's tensors, under their new names; empty if no donor has any."""
    known = collect_donors(donors)
    if not any(_NAMES in donor.descriptions for donor in known.values()):
        return {}
    found: dict[str, str | None] = {}
    for planned in tensors:
        name = planned.tensor.name
        if isinstance(planned.expression, Copy):
            ref = planned.expression.tensor
            found |= dict(_describe(name, ref.name, known[ref.donor].descriptions))
        else:
            found[name] = None
    stated = {name: text for name, text in found.items() if text is not None}
    return {_NAMES: json.dumps(list(found)), **stated}


def _describe(name: str, old: str, descriptions: Mapping[str, str]) -> Iterator[tuple[str, str | None]]:
    """Yield the weight that the output tensor `name` is a part of, with its description; `old` is its donor's name."""
    module, _, part = old.rpartition(".")
    owner = next((leaf for leaf in _list_leaves(part) if f"{module}.{leaf}" in descriptions), None)
    if owner is None:
        yield name, None
    else:
        yield f"{name.rpartition('.')[0]}.{owner}", descriptions[f"{module}.{owner}"]


def _list_leaves(part: str) -> Iterator[str]:
    """Yield the names that the weight of a part can have: of `_weight_qdata`, `weight_qdata` and then `weight`."""
    if part.startswith("_"):
        words = part[1:].split("_")
        yield from ("_".join(words[:count]) for count in range(len(words), 0, -1))
