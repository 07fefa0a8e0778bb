"""Parts of tensor names that select what roles select, for languages that know no roles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise

from stacker.core.donor import Donor


def role_names(donors: Iterable[Donor]) -> dict[str, tuple[str, ...]]:
    """For each role of the donors' tensors, and each head of one, parts of names that its tensors have and no others.

    A role of which some tensor has no such part is left out.
    """
    roles = {name: tensor.role for donor in donors for name, tensor in donor.tensors.items()}
    words = {word for role in roles.values() for word in _heads(role)}
    found = {word: _parts({name for name, role in roles.items() if word in _heads(role)}, roles) for word in words}
    return {word: parts for word, parts in sorted(found.items()) if parts}


def _heads(role: str) -> tuple[str, ...]:
    """A role and what it stands under: `attn.q.bias` is also `attn.q` and `attn`."""
    steps = role.split(".")
    return tuple(".".join(steps[:count]) for count in range(1, len(steps) + 1))


def _parts(wanted: set[str], names: Mapping[str, str]) -> tuple[str, ...]:
    """Parts that between them select the wanted names alone, in few words; none where some name has none."""
    segments = {part for name in wanted for part in _candidates(name)}
    others = names.keys() - wanted
    fitting = {part for part in segments if not any(part in name for name in others)}
    chosen: list[str] = []
    left = set(wanted)
    while left:
        best = max(sorted(fitting, key=len), key=lambda part: sum(part in name for name in left), default="")
        if not best or not any(best in name for name in left):
            return ()
        chosen.append(best)
        left = {name for name in left if best not in name}
    return tuple(chosen)


def _candidates(name: str) -> tuple[str, ...]:
    steps = [step for step in name.split(".") if not step.isdigit()]
    pairs = (f"{one}.{two}" for one, two in pairwise(steps))
    return (*steps, *pairs)
