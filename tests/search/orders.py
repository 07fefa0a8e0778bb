"""Spaces of orders without donors on disk, and objectives with a planted truth."""

from __future__ import annotations

import itertools

from stacker.search.spaces.arrangement_space import ArrangementSpace
from stacker.search.spaces.arrangements import Arrangement, make_run, read_point
from stacker.spec.language.stack_spec import DonorSpec, SliceSpec, StackSpec

DEPTH = 12
DAMAGED = 7


def make_orders(*names: str, most: int = 18, **settings: object) -> ArrangementSpace:
    """The space of the orders of donors with DEPTH layers each, of which the first is the start."""
    donors = tuple(DonorSpec(name, source=f"./{name}") for name in names)
    frame = StackSpec("orders", donors, (), embed=SliceSpec(names[0]), head=SliceSpec(names[0]))
    given = {"writers": ("attn.o", "mlp.down"), "can_hop": True, **settings}
    return ArrangementSpace(frame, dict.fromkeys(names, DEPTH), make_run(names[0], 0, DEPTH), most, **given)  # type: ignore[arg-type]


def cost(places: Arrangement) -> float:
    """0 for the layers 0 to DEPTH - 1 in order, each of any donor but layer DAMAGED of `a`, which costs 5.

    Each layer that is missing, double or out of order costs 1, a factor 0.3.
    """
    numbers = [each.layer for each in places]
    missing = len(set(range(DEPTH)) - set(numbers)) + len(numbers) - len(set(numbers))
    disorder = sum(after <= before for before, after in itertools.pairwise(numbers))
    damage = 5.0 * any((each.donor, each.layer) == ("a", DAMAGED) for each in places)
    return missing + disorder + damage + 0.3 * sum(not each.is_plain for each in places)


def cost_of_point(point: object) -> float:
    """The cost of an order as JSON."""
    return cost(read_point(point))  # type: ignore[arg-type]
