"""Native texts parsed to values."""

from __future__ import annotations

from pathlib import Path

import pytest

from stacker.errors import Mark, SpecError
from stacker.spec.language.stack_spec import (
    BlendSpec,
    CrossfadeSpec,
    Dialect,
    DonorSpec,
    Gradient,
    NamedStack,
    OutputSpec,
    Parameter,
    RepeatSpec,
    Rule,
    Setting,
    SliceSpec,
    StackSpec,
    UseSpec,
)
from stacker.spec.parser import parse_spec
from stacker.tensors import Dtype

GOLDEN = Path(__file__).parents[2] / "golden" / "spec"
HEAD = "stacker: 1\ndonors: {a: org/a, b: org/b}\n"


def spec_of(body: str) -> StackSpec:
    return parse_spec(HEAD + body, "s.yml")


def constant(name: str, value: float | bool | str) -> Setting:
    return Setting(name, Parameter((Rule("*", value),)))


def test_the_whole_language() -> None:
    """The example with every form of the language parses to these values."""
    spec = parse_spec((GOLDEN / "language.yml").read_bytes(), "language.yml")
    half = Parameter((Rule("attn.o", 0.5), Rule("mlp.down", 0.5)))
    none = Parameter((Rule("attn.o", 0.0), Rule("mlp.down", 0.0)))
    t = (Rule("attn", Gradient((0.0, 0.5, 0.3, 0.7, 1.0))), Rule("mlp", Gradient((1.0, 0.0))), Rule("*", 0.5))
    blended = (SliceSpec("xwin", 32, 40), SliceSpec("euryale", 32, 40))
    assert spec == StackSpec(
        name="goliath-120b",
        donors=(
            DonorSpec("xwin", "Xwin-LM/Xwin-LM-70B-V0.1"),
            DonorSpec("euryale", "./euryale", like="llama-2-70b"),
        ),
        stack=(
            SliceSpec("xwin", 0, 16),
            SliceSpec("euryale", 8, 24),
            SliceSpec("xwin", 17, 32, half),
            BlendSpec(blended, "slerp", (Setting("t", Parameter(t)),)),
            CrossfadeSpec((SliceSpec("xwin", 40, 60), SliceSpec("euryale", 56, 72)), 4, "slerp"),
            RepeatSpec((SliceSpec("xwin", 60, 64),), 3, none),
            UseSpec("tail"),
        ),
        stacks=(NamedStack("tail", (SliceSpec("xwin", 72, 80),)),),
        base="xwin",
        embed=SliceSpec("xwin"),
        head=SliceSpec("xwin"),
        tokenizer="xwin",
        config="xwin",
        output=OutputSpec(None, 5_000_000_000),
        source="language.yml",
    )
    assert spec.problems == ()


def test_defaults() -> None:
    """Keys that are not written are None, and the default name is the file's."""
    spec = spec_of("stack:\n  - a\n  - b\n")
    assert spec.name == "s"
    assert spec.dialect is Dialect.NATIVE
    assert (spec.base, spec.embed, spec.head, spec.tokenizer, spec.config) == (None,) * 5
    assert spec.output == OutputSpec()


@pytest.mark.parametrize(
    ("text", "donor"),
    [
        pytest.param("org/x@v1", DonorSpec("x", "org/x", "v1"), id="revision-in-text"),
        pytest.param("{source: org/x, revision: v1}", DonorSpec("x", "org/x", "v1"), id="revision-as-key"),
        pytest.param("{source: ./x, like: llama}", DonorSpec("x", "./x", like="llama"), id="like"),
        pytest.param("{stack: other.yml}", DonorSpec("x", stack="other.yml"), id="stack"),
    ],
)
def test_donors(text: str, donor: DonorSpec) -> None:
    """A donor is a text, or a mapping with its source or with another spec."""
    assert parse_spec(f"stacker: 1\ndonors:\n  x: {text}\nstack:\n  - x\n", "s").donors == (donor,)


def test_source_with_parameters() -> None:
    """A source of a blend may have its own parameters and factors; other keys of the blend belong to the op."""
    spec = spec_of(
        "stack:\n  - blend:\n      - {slice: a, weight: 0.3, scale: 2}\n      - b\n"
        "    op: linear\n    normalize: false\n    base: a\n"
    )
    sources = (SliceSpec("a", scale=Parameter((Rule("*", 2.0),)), settings=(constant("weight", 0.3),)), SliceSpec("b"))
    assert spec.stack == (BlendSpec(sources, "linear", (constant("normalize", False),), SliceSpec("a")),)


def test_repeat_of_one_item() -> None:
    """A single item and a list with that item are the same repeat."""
    assert (
        spec_of("stack:\n  - repeat: a\n    times: 2\n  - b\n").stack
        == spec_of("stack:\n  - repeat:\n      - a\n    times: 2\n  - b\n").stack
    )


def test_parts() -> None:
    """Embedding and head are donors, scaled donors, or blends of donors."""
    spec = spec_of(
        "stack: [a, b]\nembed: {slice: a, scale: 0.5}\nhead:\n  blend: [a, {slice: b, weight: 2}]\n  op: linear\n"
    )
    assert spec.embed == SliceSpec("a", scale=Parameter((Rule("*", 0.5),)))
    assert spec.head == BlendSpec((SliceSpec("a"), SliceSpec("b", settings=(constant("weight", 2.0),))), "linear")


def test_anchors() -> None:
    """Anchors and merge keys work in specs."""
    spec = spec_of("stack:\n  - &s {slice: a, scale: 0}\n  - <<: *s\n    slice: b\n")
    zero = Parameter((Rule("*", 0.0),))
    assert spec.stack == (SliceSpec("a", scale=zero), SliceSpec("b", scale=zero))


def test_output() -> None:
    """Element type and shard size of the result."""
    spec = spec_of("stack: [a, b]\noutput: {dtype: bfloat16, shard_size: 2GiB}\n")
    assert spec.output == OutputSpec(Dtype.BF16, 2 << 30)


def test_marks() -> None:
    """Items, sources, settings and top-level keys have their places in the text."""
    spec = spec_of("stack:\n  - blend:\n      - a[0:2]\n      - b[0:2]\n    op: slerp\n    t: 0.5\nbase: a\n")
    (blend,) = spec.stack
    assert isinstance(blend, BlendSpec)
    assert (blend.mark, blend.sources[1].mark) == (Mark("s.yml", 4, 5), Mark("s.yml", 6, 9))
    assert blend.settings[0].mark == Mark("s.yml", 8, 5)
    assert spec.mark_of("base") == Mark("s.yml", 9, 1)
    assert spec.mark_of("head") == Mark("s.yml")


def test_problems_in_order() -> None:
    """Problems of syntax, shape, grammar and references are reported together, in the order of the text."""
    with pytest.raises(SpecError) as caught:
        spec_of("stack:\n  - a[4:2]\n  - c\n  - {slice: b, scal: 1}\n  - use: x\nnmae: y\noutput: {shard_size: 1XB}\n")
    lines = [problem.mark.line for problem in caught.value.problems if problem.mark]
    assert lines == [4, 5, 6, 7, 8, 9]
