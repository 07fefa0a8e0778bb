"""Generators against the published stacks that they generalise, and against what any numbers must give."""

from __future__ import annotations

from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacker.spec.generators import GENERATORS, check_numbers, count_layers, fill_numbers, write_generated
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
    """Donor, layer and whether it is scaled, for every layer that items make."""
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
    """With the published numbers, or with the defaults where those are the published ones, ranges are the same."""
    pattern, depth, numbers = PUBLISHED[name]
    recipe = parse_spec((files("stacker.slices") / f"{name}.yaml").read_text(encoding="utf-8"), name)
    generator = GENERATORS[pattern]
    names = [donor.name for donor in recipe.donors]
    made = generator.make(names, depth, fill_numbers(generator, depth, numbers))
    assert flat(made) == flat(recipe.stack)


numbers_given = st.dictionaries(
    st.sampled_from(["width", "stride", "n", "m", "start", "stop", "times", "every", "drop"]), st.integers(0, 60)
)


@pytest.mark.parametrize("name", GENERATORS)
@given(depth=st.integers(1, 90), numbers=numbers_given)
def test_what_is_not_refused_is_a_spec(name: str, depth: int, numbers: dict[str, int]) -> None:
    """Any numbers are refused in words, or the text parses, stays within the donors, and counts right."""
    generator = GENERATORS[name]
    if list(check_numbers(generator, depth, fill_numbers(generator, depth, numbers))):
        return
    donors = DONORS[: generator.donors[0]]
    text = write_generated(generator, donors, depth, numbers, "FILE")
    spec = parse_spec(text, "generated.yml")
    layers = flat(spec.stack)
    assert f"; {len(layers)} layers of donors with {depth}." in text
    assert len(layers) == count_layers(spec.stack) > 0
    assert all(layer < depth for _, layer, _ in layers)


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("depth", [2, 3, 6, 12, 30, 126])
def test_defaults_hold_for_any_depth(name: str, depth: int) -> None:
    """Nobody must give a number, however shallow the donor."""
    generator = GENERATORS[name]
    assert list(check_numbers(generator, depth, fill_numbers(generator, depth, {}))) == []


@given(depth=st.integers(1, 90), width=st.integers(1, 90), stride=st.integers(1, 90))
def test_passes_use_every_layer(depth: int, width: int, stride: int) -> None:
    """Passes begin with the first layer, end with the last, and leave none out."""
    generator = GENERATORS["passes"]
    numbers = {"width": width, "stride": stride}
    if not list(check_numbers(generator, depth, numbers)):
        layers = [layer for _, layer, _ in flat(generator.make("a", depth, numbers))]
        assert (layers[0], layers[-1], set(layers)) == (0, depth - 1, set(range(depth)))


@given(depth=st.integers(1, 90), every=st.integers(1, 90))
def test_block_expansion_keeps_the_donor(depth: int, every: int) -> None:
    """Without its silenced copies, a llama-pro stack is its donor, and each copy follows its original."""
    generator = GENERATORS["llama-pro"]
    if not list(check_numbers(generator, depth, {"every": every})):
        layers = flat(generator.make("a", depth, {"every": every}))
        assert [layer for _, layer, scaled in layers if not scaled] == list(range(depth))
        copies = [at for at, (_, _, scaled) in enumerate(layers) if scaled]
        assert all(layers[at][1] == layers[at - 1][1] for at in copies)
        assert len(copies) == depth // every


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
    """Each impossible number is told in words."""
    generator = GENERATORS[name]
    found = list(check_numbers(generator, 32, fill_numbers(generator, 32, numbers)))
    assert len(found) == 1
    assert message in found[0]
