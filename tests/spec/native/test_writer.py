"""Specs written and read back: equal in the native language, and of the same meaning in mergekit's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given

from stacker.errors import SpecError
from stacker.spec.language.stack_spec import Dialect, StackSpec
from stacker.spec.mergekit.writer import to_mergekit
from stacker.spec.native.writer import to_native
from stacker.spec.parser import parse_spec
from tests.spec.meaning import ROLE_NAMES, meaning
from tests.strategies import DEPTH, blended, specs, stacked

GOLDEN = Path(__file__).parents[2] / "golden" / "spec"
DEPTHS = dict.fromkeys("abc", DEPTH)


def golden(name: str) -> StackSpec:
    return parse_spec((GOLDEN / f"{name}.yml").read_bytes(), f"{name}.yml")


def problems_of(spec: StackSpec) -> list[str]:
    with pytest.raises(SpecError) as caught:
        to_mergekit(spec)
    return [problem.message for problem in caught.value.problems]


def spec_of(stack: str, more: str = "") -> StackSpec:
    return parse_spec(f"stacker: 1\ndonors: {{a: org/a, b: org/b}}\nstack:\n{stack}{more}", "s.yml")


@given(specs())
def test_native_round_trip(spec: StackSpec) -> None:
    """A written spec parses to the same spec."""
    assert parse_spec(to_native(spec), spec.source) == spec


@given(stacked() | blended())
def test_meaning_survives_mergekit(spec: StackSpec) -> None:
    """Converted to mergekit's language and read back, every tensor of every layer is computed in the same way."""
    text = to_mergekit(spec, DEPTHS, ROLE_NAMES)
    again = parse_spec(text, "s.yml")
    depths = {donor.name: DEPTH for donor in again.donors}
    assert meaning(again, depths) == meaning(spec, DEPTHS)


@pytest.mark.parametrize(
    "text",
    [
        "  - a[0:4]\nembed: b\n",
        "  - a[0:4]\n  - b[2:4]\nhead: a\n",
        "  - {slice: a, scale: 0.5}\n",
        "  - a[0:4]\nembed: {slice: b, scale: 2}\nhead: {slice: a, scale: 0.5}\n",
        "  - a[0:4]\nembed: {blend: [a, b], op: linear}\nhead: b\n",
    ],
)
def test_ends_become_slices_of_no_layers(text: str) -> None:
    """Embeddings and heads that mergekit would make otherwise become slices of no layers."""
    spec = spec_of(text)
    again = parse_spec(to_mergekit(spec, DEPTHS, ROLE_NAMES), "s.yml")
    assert meaning(again, DEPTHS) == meaning(spec, DEPTHS)


@given(blended())
def test_mergekit_to_native(spec: StackSpec) -> None:
    """A mergekit file converted to the native language is the same spec."""
    read = parse_spec(to_mergekit(spec, DEPTHS, ROLE_NAMES), "s.yml")
    assert parse_spec(to_native(read), "s.yml") == replace(read, dialect=Dialect.NATIVE)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.yml")), ids=lambda path: path.stem)
def test_golden_files_keep_their_meaning(path: Path) -> None:
    """Every golden spec of either dialect is the same after it was written in the native language."""
    spec = parse_spec(path.read_bytes(), path.name)
    assert parse_spec(to_native(spec), path.name) == replace(spec, dialect=Dialect.NATIVE)


def test_goliath_in_both_dialects() -> None:
    """Goliath means the same in both dialects, and its native text is as people write it."""
    native, other = (
        parse_spec((GOLDEN / f"{name}.yml").read_bytes(), name) for name in ("goliath", "goliath-mergekit")
    )
    assert parse_spec(to_mergekit(native), "s.yml").stack == parse_spec(to_mergekit(other), "s.yml").stack
    depths = [{donor.name: 80 for donor in spec.donors} for spec in (native, other)]
    assert meaning(native, depths[0]) == meaning(other, depths[1])
    assert to_native(native) == (GOLDEN / "goliath.yml").read_text(encoding="utf-8")


def test_models_form() -> None:
    """A blend of whole donors becomes `models`, which needs no depth."""
    spec = spec_of(
        "  - blend: [a, b]\n    op: slerp\n    t: 0.5\n",
        "embed: {blend: [a, b], op: slerp, t: 0.5}\nhead: {blend: [a, b], op: slerp, t: 0.5}\n",
    )
    text = yaml.safe_load(to_mergekit(spec))
    assert text["models"] == [{"model": "org/a"}, {"model": "org/b"}]
    assert text["base_model"] == "org/a"
    assert "slices" not in text


def test_depth_is_needed() -> None:
    """A slice with an open end needs its donor's depth."""
    spec = spec_of("  - a[8:]\n  - b\n")
    assert problems_of(spec)[0] == "mergekit needs the end of a[8:], and the donor's depth is not known"
    slices = yaml.safe_load(to_mergekit(spec, {"a": 32, "b": 24}))["slices"]
    assert [run["sources"][0]["layer_range"] for run in slices] == [[8, 32], [0, 24]]


def test_shard_size_is_told() -> None:
    """mergekit takes the shard size on its command line, so a comment gives it."""
    text = to_mergekit(spec_of("  - a[0:4]\n", "output: {shard_size: 2GiB}\n"))
    assert text.startswith("# run mergekit-yaml with --out-shard-size 2GiB\n")


def test_what_mergekit_does_otherwise_is_remarked() -> None:
    """Comments say where mergekit chooses config and tokenizer itself, and where its tokenizer moves rows."""
    blend = "{blend: [a, b], op: nuslerp}"
    free = spec_of(f"  - {blend}\n", f"embed: {blend}\nhead: {blend}\n")
    assert "without a base_model" in to_mergekit(free)
    assert "base_model:" not in to_mergekit(free)
    assert "moves embedding and head rows" in to_mergekit(spec_of("  - a[0:4]\n", "tokenizer: b\n"))


BLEND = "  - blend: [a, b]\n    op: {op}\n"
SLERP, LINEAR = BLEND.format(op="slerp"), BLEND.format(op="linear")


@pytest.mark.parametrize(
    ("stack", "message"),
    [
        pytest.param(
            "  - crossfade: [a, b]\n    over: 2\n    op: linear\n", "mergekit has no crossfade", id="crossfade"
        ),
        pytest.param(BLEND.format(op="warp"), "mergekit has no method for the op 'warp'", id="unknown-op"),
        pytest.param(SLERP + LINEAR, "mergekit has one method in a file: 'slerp' above, 'linear' here", id="two-ops"),
        pytest.param(SLERP + "  - a[0:4]\n", "mergekit's slerp takes no slice of one donor", id="mixed"),
        pytest.param(
            LINEAR + "  - {slice: a, scale: 0}\n", "mergekit cannot scale a slice in a linear", id="scaled-slice"
        ),
        pytest.param(
            "  - blend: [{slice: a, scale: 2}, b]\n    op: linear\n",
            "mergekit cannot scale a source",
            id="scaled-source",
        ),
        pytest.param("  - {slice: a, scale: {attn.o: 0}}\n", "mergekit knows no roles", id="role"),
        pytest.param('  - {slice: a, scale: {"model.*": 0}}\n', "mergekit cannot select by 'model.*'", id="pattern"),
        pytest.param(SLERP, "mergekit's slerp takes no embedding or head of one donor", id="plain-head"),
        pytest.param(
            "  - a[0:4]\n" + LINEAR + "head: {blend: [a, b], op: linear}\n",
            "mergekit blends the head from as many donors as the first slice has (1), here 2",
            id="zipped-head",
        ),
        pytest.param(
            "  - blend: ['a[0:4]', 'a[4:8]']\n    op: slerp\n", "mergekit cannot blend a donor with itself", id="self"
        ),
        pytest.param("  - blend: [a, b, b]\n    op: slerp\n", "mergekit's slerp takes 2 donors", id="three"),
        pytest.param(LINEAR + "    base: a\n", "mergekit's linear has no base", id="base"),
        pytest.param(SLERP + "    weight: 1\n", "mergekit's slerp has no parameter 'weight'", id="parameter"),
        pytest.param(
            "  - blend: [a, b]\n    op: ties\n    base: a\n",
            "mergekit takes the base out of the sources",
            id="twice",
        ),
        pytest.param("  - blend: [a, b]\n    op: ties\n", "mergekit's ties needs a base", id="no-base"),
        pytest.param(
            "  - {blend: [a, b], op: nuslerp, base: a}\n  - {blend: [a, b], op: nuslerp}\n",
            "mergekit's nuslerp has a base in all slices or in none",
            id="some-bases",
        ),
        pytest.param(
            "  - {blend: [a, b], op: nuslerp}\nconfig: b\n", "mergekit takes its config from base_model", id="config"
        ),
        pytest.param(
            "  - crossfade: [{slice: 'a[0:4]', scale: 2}, 'b[2:6]']\n    over: 2\n    op: linear\n",
            "mergekit has no crossfade, and factors",
            id="scaled-crossfade",
        ),
        pytest.param(
            "  - blend: [{slice: a, t: 1}, b]\n    op: slerp\n", "mergekit's slerp has no 't' of a source", id="source"
        ),
        pytest.param(
            "  - repeat: [a, b]\n    times: 2\n    scale: [0, 1]\n", "a gradient over several repeated", id="gradient"
        ),
        pytest.param(
            "  - repeat: {blend: [a, b], op: linear}\n    times: 2\n    scale: 0\n",
            "mergekit cannot scale what it blends",
            id="scaled-blend",
        ),
        pytest.param(
            "  - repeat: {slice: 'a[0:4]', scale: {mlp: 1}}\n    times: 2\n    scale: {attn: 2}\n",
            "two sets of factors on one slice",
            id="two-factors",
        ),
    ],
)
def test_what_mergekit_cannot_say(stack: str, message: str) -> None:
    """Everything that mergekit cannot express is reported."""
    assert any(problem.startswith(message) for problem in problems_of(spec_of(stack)))


def test_nested_donor() -> None:
    """A donor that is a stack itself cannot be in a single mergekit file."""
    spec = parse_spec("stacker: 1\ndonors: {a: {stack: b.yml}}\nstack:\n  - a[0:4]\n", "s.yml")
    assert problems_of(spec) == ["donor 'a' is a stack; mergekit needs it built first"]


def test_every_reason_has_a_place() -> None:
    """The example of the whole language cannot be converted to mergekit's; every reason has a place in the text."""
    spec = golden("language")
    with pytest.raises(SpecError) as caught:
        to_mergekit(spec)
    assert len(caught.value.problems) > 5
    assert all(problem.mark and problem.mark.line for problem in caught.value.problems)
