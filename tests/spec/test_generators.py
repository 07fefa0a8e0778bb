"""Generators compared with the published stacks that they generalise, and tested with any numbers."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacker.spec.generators import GENERATORS, Numbers, check_numbers, count_layers, fill_numbers, write_generated
from stacker.spec.language.stack_spec import DonorSpec, Item, RepeatSpec, SliceSpec
from stacker.spec.parser import parse_spec

DONORS = (DonorSpec("a", "./a"), DonorSpec("b", "./b"))
PUBLISHED = {
    "llama-3-120b": ("passes", 80, {}),
    "qwen2-125b": ("passes", 80, {"width": 20, "stride": 10}),
    "miqu-1-103b": ("passes", 80, {"width": 40}),
    "bigstral-12b": ("passes", 32, {}),
    "phi-4-25b": ("passes", 40, {}),
    "phi-4-45b": ("passes", 70, {"width": 10}),
    "llama-3-225b": ("passes", 140, {"width": 20}),
    "miquliz-120b-v2": ("interleave", 80, {"width": 20}),
    "solar-10.7b": ("solar", 32, {}),
    "rys-xlarge": ("rys", 80, {}),
    "llama-pro-8b": ("llama-pro", 32, {}),
}


def flat(items: tuple[Item, ...]) -> list[tuple[str, int, bool]]:
    """Donor, layer and whether it has factors, for every layer of the items."""
    layers: list[tuple[str, int, bool]] = []
    for item in items:
        if isinstance(item, RepeatSpec):
            layers += flat(item.items) * item.times
        else:
            assert isinstance(item, SliceSpec)
            layers += [(item.donor, n, item.scale is not None) for n in range(item.start or 0, item.stop or 0)]
    return layers


@pytest.mark.parametrize("name", PUBLISHED)
def test_generators_make_the_published_stacks(name: str) -> None:
    """The published numbers, or the defaults where they are equal, make the published ranges."""
    pattern, depth, numbers = PUBLISHED[name]
    recipe = parse_spec((files("stacker.slices") / f"{name}.yaml").read_text(encoding="utf-8"), name)
    generator = GENERATORS[pattern]
    names = [donor.name for donor in recipe.donors]
    made = generator.make(names, depth, fill_numbers(generator, depth, numbers))
    assert flat(made) == flat(recipe.stack)


FITS: dict[str, Callable[[int, Numbers], bool]] = {
    "passes": lambda depth, n: 1 <= n["stride"] <= n["width"] <= depth,
    "interleave": lambda depth, n: 1 <= n["stride"] <= n["width"] <= depth,
    "solar": lambda depth, n: 2 <= 2 * n["m"] <= n["n"] <= depth,
    "rys": lambda depth, n: 0 <= n["start"] < n["stop"] <= depth and n["times"] >= 2,
    "llama-pro": lambda depth, n: 1 <= n["every"] <= depth,
    "prune": lambda depth, n: 1 <= n["drop"] < depth and 0 <= n["start"] <= depth - n["drop"],
}
NUMBERS = st.dictionaries(
    st.sampled_from(["width", "stride", "n", "m", "start", "stop", "times", "every", "drop"]), st.integers(0, 60)
)


@st.composite
def fitting(draw: st.DrawFn, name: str) -> tuple[int, dict[str, int]]:
    """A depth, and numbers that the generator accepts for donors of that depth."""

    def between(low: int, high: int) -> int:
        return draw(st.integers(low, high))

    depth = between(2, 90)
    match name:
        case "passes" | "interleave":
            width = between(1, depth)
            return depth, {"width": width, "stride": between(1, width)}
        case "solar":
            layers = between(2, depth)
            return depth, {"n": layers, "m": between(1, layers // 2)}
        case "rys":
            start = between(0, depth - 1)
            return depth, {"start": start, "stop": between(start + 1, depth), "times": between(2, 6)}
        case "llama-pro":
            return depth, {"every": between(1, depth)}
        case _:
            drop = between(1, depth - 1)
            return depth, {"drop": drop, "start": between(0, depth - drop)}


@pytest.mark.parametrize("name", GENERATORS)
@given(depth=st.integers(1, 90), given_numbers=NUMBERS)
def test_numbers_are_refused_where_they_do_not_fit(name: str, depth: int, given_numbers: dict[str, int]) -> None:
    """Given and default numbers are accepted exactly where the table above says that they fit."""
    numbers = fill_numbers(GENERATORS[name], depth, given_numbers)
    assert (list(check_numbers(GENERATORS[name], depth, numbers)) == []) is FITS[name](depth, numbers)


@pytest.mark.parametrize("name", GENERATORS)
@given(data=st.data())
def test_what_is_not_refused_is_a_spec(name: str, data: st.DataObject) -> None:
    """Accepted numbers make a valid spec within the donors' layers, and its comment has the right count."""
    depth, numbers = data.draw(fitting(name))
    generator = GENERATORS[name]
    text = write_generated(generator, DONORS[: generator.donors[0]], depth, numbers, "FILE")
    layers = flat(parse_spec(text, "generated.yml").stack)
    assert f"; {len(layers)} layers of donors with {depth}." in text
    assert len(layers) == count_layers(generator.make(["a", "b"], depth, numbers)) > 0
    assert all(layer < depth for _, layer, _ in layers)


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("depth", [2, 3, 6, 12, 30, 126])
def test_defaults_hold_for_any_depth(name: str, depth: int) -> None:
    """The defaults fit donors of any depth."""
    generator = GENERATORS[name]
    assert list(check_numbers(generator, depth, fill_numbers(generator, depth, {}))) == []


@given(fitting("passes"))
def test_passes_use_every_layer(example: tuple[int, dict[str, int]]) -> None:
    """Passes begin at the first layer, end at the last, and use every layer."""
    depth, numbers = example
    layers = [layer for _, layer, _ in flat(GENERATORS["passes"].make("a", depth, numbers))]
    assert (layers[0], layers[-1], set(layers)) == (0, depth - 1, set(range(depth)))


@given(fitting("llama-pro"))
def test_block_expansion_keeps_the_donor(example: tuple[int, dict[str, int]]) -> None:
    """Without its silenced copies, a llama-pro stack is its donor; each copy follows its original."""
    depth, numbers = example
    layers = flat(GENERATORS["llama-pro"].make("a", depth, numbers))
    assert [layer for _, layer, scaled in layers if not scaled] == list(range(depth))
    copies = [at for at, (_, _, scaled) in enumerate(layers) if scaled]
    assert all(layers[at][1] == layers[at - 1][1] for at in copies)
    assert len(copies) == depth // numbers["every"]


WRONG = {
    "too wide": ("passes", {"width": 40}, "width is 40, but there are only 32 layers"),
    "gaps": ("passes", {"width": 4, "stride": 5}, "stride 5 is more than width 4"),
    "no width": ("passes", {"width": 0, "stride": 1}, "width must be at least 1, not 0"),
    "too deep": ("solar", {"n": 33, "m": 8}, "n is 33, but there are only 32 layers"),
    "nothing in the middle": ("solar", {"m": 17}, "m is 17, more than half of n"),
    "past the end": ("rys", {"start": 30, "stop": 40}, "stop is 40, but there are only 32 layers"),
    "an empty run": ("rys", {"start": 5, "stop": 5}, "stop (5) must be more than start (5)"),
    "once": ("rys", {"times": 1}, "times must be at least 2, not 1"),
    "too sparse": ("llama-pro", {"every": 33}, "every is 33"),
    "all gone": ("prune", {"drop": 32, "start": 0}, "nothing would be left"),
    "more than there is": ("prune", {"drop": 8, "start": 30}, "layers 30 to 37 cannot be left out of 32"),
}


@pytest.mark.parametrize(("name", "numbers", "message"), WRONG.values(), ids=WRONG.keys())
def test_numbers_that_cannot_be(name: str, numbers: dict[str, int], message: str) -> None:
    """Each kind of impossible number has its message."""
    generator = GENERATORS[name]
    found = list(check_numbers(generator, 32, fill_numbers(generator, 32, numbers)))
    assert len(found) == 1
    assert message in found[0]
