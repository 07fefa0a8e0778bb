"""Orders of layers: as JSON, as items of a spec, and read from a spec."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacker.errors import SpecError
from stacker.search.spaces.arrangement_space import read_items
from stacker.search.spaces.arrangements import Place, describe, list_runs, make_items, make_run, read_point, write_point
from stacker.spec.native.writer import to_native
from stacker.spec.parser import parse_spec
from tests.search.orders import DEPTH, make_orders

PLACES = st.builds(
    Place,
    st.sampled_from("ab"),
    st.integers(0, DEPTH - 1),
    st.sampled_from((1.0, 0.9)),
    st.sampled_from((1.0, 0.3)),
    st.sampled_from(("", "c")),
    st.just(0.5),
).map(lambda each: each if each.other else Place(each.donor, each.layer, each.hop, each.damp))
ORDERS = st.lists(PLACES, min_size=1, max_size=20).map(tuple)


@given(ORDERS)
def test_json_gives_the_same_order(places: tuple[Place, ...]) -> None:
    """An order is read back from its JSON as it was."""
    assert read_point(write_point(places)) == places


@given(ORDERS)
def test_runs_cover_all_layers(places: tuple[Place, ...]) -> None:
    """The runs have as many layers as the order, and no run could be longer."""
    runs = [*list_runs(places)]
    assert sum(count for _, count in runs) == len(places)
    ends = [(first.layer + count, after) for (first, count), (after, _) in itertools.pairwise(runs)]
    assert not any(after == Place(after.donor, end) and first.is_plain and first.donor == after.donor
                   for (end, after), (first, _) in zip(ends, runs, strict=False))  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, DEPTH - 1)), min_size=1, max_size=18))
def test_a_spec_says_the_order(layers: list[tuple[str, int]]) -> None:
    """The spec that is written for plain layers is parsed to items with the same layers in the same order."""
    space = make_orders("a", "b")
    places = tuple(Place(*each) for each in layers)
    spec = parse_spec(to_native(space.write_spec(places)), "written")
    assert read_items(spec.stack, space.depths) == places


def test_special_layers_are_written() -> None:
    """A hop, a damped copy and a blend are written as the language has them."""
    places = (Place("a", 0), Place("a", 0, hop=0.9), Place("a", 1, damp=0.3), Place("a", 2, other="b", share=0.25))
    text = to_native(make_orders("a", "b").write_spec(places))
    assert "hop: 0.9" in text
    assert "{attn.o: 0.3, mlp.down: 0.3}" in text
    assert "weight: 0.75" in text
    assert "weight: 0.25" in text
    assert describe(places) == "a[0:1] hop 0.9 a[0:1] a[1:2]×0.3 a+0.25·b[2:3]"


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ((), "no layers left"),
        (make_run("a", 0, 12) * 2, "24 layers, more than 18"),
        ((Place("a", 0, hop=0.9),), "cannot have hops"),
        ((Place("a", 0, damp=0.9),), "cannot have damped"),
    ],
)
def test_what_is_outside_is_refused(places: tuple[Place, ...], message: str) -> None:
    """Orders outside the space are errors that say why."""
    with pytest.raises(SpecError, match=message):
        make_orders("a", writers=(), can_hop=False).decode(write_point(places))


def test_recipes_are_orders() -> None:
    """Recipe generators that fit the donors and the limit give orders; expanded blocks are layers damped to nothing."""
    recipes = make_orders("a", "b", most=24).list_recipes()
    assert {"solar", "rys", "prune", "llama-pro", "interleave"} <= set(recipes)
    assert Place("a", 3, damp=0.0) in recipes["llama-pro"]
    assert make_items(recipes["prune"], ()) == make_items((*make_run("a", 0, 10), *make_run("a", 11, 12)), ())
    assert all(len(places) <= 12 for places in make_orders("a", most=12).list_recipes().values())
