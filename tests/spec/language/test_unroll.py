"""Crossfades, repeats and named stacks written out as flat slices and blends."""

from __future__ import annotations

import pytest

from stacker.errors import Problem
from stacker.spec.language.parameter_grammar import make_constant
from stacker.spec.language.slice_grammar import MOST_LAYERS
from stacker.spec.language.stack_spec import Setting
from stacker.spec.language.unroll import FlatItem, unroll
from stacker.spec.parser import parse_spec

DEPTHS = {"a": 6, "b": 6}
RAMPS = {"slerp": "t", "linear": "weight", "karcher": ""}
FADE = " - crossfade: [{pieces}]\n   over: {over}\n   op: {op}\n"


def unrolled(
    stack: str, stacks: str = "{}", depths: dict[str, int] | None = None
) -> tuple[list[FlatItem], list[Problem]]:
    """The flat items of a stack over donors a and b, and the reported problems."""
    problems: list[Problem] = []
    spec = parse_spec(f"stacker: 1\ndonors: {{a: ./a, b: ./b}}\nstack:\n{stack}stacks: {stacks}\n", "s.yml")
    return list(unroll(spec, DEPTHS if depths is None else depths, RAMPS, problems)), problems


def layers(items: list[FlatItem]) -> list[str]:
    """The layers of each item, as text: `a[0:3]`, or `a[2:3]+b[0:1]` for a blend."""
    return [
        "+".join(f"{s.written.donor}[{s.start}:{s.start + s.length}]" for s in item.sources) for item in items
    ]  # fmt: skip


def test_a_crossfade_is_slices_and_single_blends() -> None:
    """Each part keeps its position in its slice, and each blend its position in the overlap."""
    items, problems = unrolled(FADE.format(pieces="'a[0:4]', b", over=2, op="slerp"))
    assert layers(items) == ["a[0:2]", "a[2:3]+b[0:1]", "a[3:4]+b[1:2]", "b[2:6]"]
    assert [(s.position, s.count) for item in items for s in item.sources] == [
        (0, 4), (2, 4), (0, 6), (3, 4), (1, 6), (2, 6),
    ]  # fmt: skip
    assert [(item.position, item.count) for item in items if item.op] == [(0, 2), (1, 2)]
    assert problems == []


@pytest.mark.parametrize(
    ("stack", "hops"),
    [
        pytest.param(" - {slice: 'a[0:2]', hop: 2}\n - a[2]\n", [2, 1], id="slice"),
        pytest.param(" - {repeat: ['a[0]', {slice: 'a[1]', hop: 3}], times: 2, hop: 2}\n", [2, 3, 2, 3], id="repeat"),
        pytest.param(" - {repeat: [{slice: 'a[0]', hop: 3}], times: 2, hop: 2}\n", [6, 6], id="product"),
        pytest.param(" - {use: tail, hop: 0.5}\n - use: tail\n", [0.5, 4, 1, 4], id="use"),
        pytest.param(" - {blend: [a, b], op: slerp, hop: 0.5}\n", [0.5], id="blend"),
        pytest.param(
            " - {crossfade: ['a[0:2]', 'b[0:2]'], over: 1, op: slerp, hop: 0.5}\n", [0.5, 1, 1], id="crossfade"
        ),
    ],
)
def test_a_hop_enters_the_first_layers_of_its_item(stack: str, hops: list[float]) -> None:
    """The first flat item of an item has its factor, in every round of a repeat; nested factors are multiplied."""
    items, problems = unrolled(stack, "{tail: ['a[3]', {slice: 'a[4]', hop: 4}]}")
    assert [item.hop for item in items] == hops
    assert not problems


@pytest.mark.parametrize(
    ("op", "own", "of_sources"),
    [
        pytest.param("slerp", {"t": 0.5}, [{}, {}], id="t"),
        pytest.param("linear", {}, [{"weight": 0.5}, {"weight": 0.5}], id="weight"),
        pytest.param("karcher", {}, [{}, {}], id="no ramp"),
    ],
)
def test_the_ramp_of_a_crossfade(op: str, own: dict[str, float], of_sources: list[dict[str, float]]) -> None:
    """The second of three overlapping layers is halfway, by the parameter that the op's crossfades drive."""
    items, _ = unrolled(FADE.format(pieces="'a[0:3]', 'b[0:3]'", over=3, op=op))
    assert items[1].settings == tuple(Setting(name, make_constant(value)) for name, value in own.items())
    assert [source.written.settings for source in items[1].sources] == [
        tuple(Setting(name, make_constant(value)) for name, value in each.items()) for each in of_sources
    ]


def test_a_written_parameter_is_the_ramp() -> None:
    """A crossfade whose spec sets the ramp's parameter keeps that value."""
    items, _ = unrolled(FADE.format(pieces="'a[0:3]', 'b[0:3]'", over=3, op="slerp") + "   t: 0.25\n")
    assert {item.settings for item in items} == {(Setting("t", make_constant(0.25)),)}


def test_a_repeats_factors_run_over_all_that_it_repeats() -> None:
    """The first round has no factors; in later rounds each item has its position among the repeated layers."""
    items, _ = unrolled(" - repeat: ['a[0:2]', 'b[3:6]']\n   times: 3\n   scale: [1, 0]\n")
    assert layers(items) == ["a[0:2]", "b[3:6]"] * 3
    assert [item.copy for item in items] == [0, 0, 1, 1, 2, 2]
    assert [[(s.position, s.count) for s in item.scales] for item in items] == [[], [], *[[(0, 5)], [(2, 5)]] * 2]


def test_items_of_a_named_stack_count_as_the_item_that_uses_it() -> None:
    """`number` is the index of the item in the spec's stack, also for items that come from a named stack."""
    items, _ = unrolled(" - a\n - use: tail\n", "{tail: ['b[0:1]', 'a[0:1]']}")
    assert [(item.number, shown) for item, shown in zip(items, layers(items), strict=True)] == [
        (0, "a[0:6]"), (1, "b[0:1]"), (1, "a[0:1]"),
    ]  # fmt: skip


def test_unknown_depths() -> None:
    """Items that need no depth are unrolled without it; a crossfade with an open end is refused."""
    items, problems = unrolled(" - 'a[2:]'\n - blend: [a, 'b[0:4]']\n   op: slerp\n", depths={})
    assert [[(s.start, s.known) for s in item.sources] for item in items] == [[(2, False)], [(0, False), (0, True)]]
    assert problems == []
    items, problems = unrolled(FADE.format(pieces="'a[0:4]', b", over=2, op="slerp"), depths={})
    assert (items, [problem.message for problem in problems]) == (
        [], ["mergekit has no crossfade, and where it begins and ends is not known"],
    )  # fmt: skip


def test_too_many_layers_once_depths_are_known() -> None:
    """The limit applies to real lengths, while the check of the spec alone counts an open slice as one layer."""
    items, problems = unrolled(f" - repeat: [a, b]\n   times: {MOST_LAYERS // 2}\n")
    assert sum(item.length for item in items) <= MOST_LAYERS
    assert [problem.message for problem in problems] == ["the stack has more than 10,000 layers"]
