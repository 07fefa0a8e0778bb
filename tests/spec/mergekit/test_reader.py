"""mergekit files parsed to specs with the same meaning."""

from __future__ import annotations

from pathlib import Path

import pytest

from stacker.errors import SpecError
from stacker.spec.language.stack_spec import (
    BlendSpec,
    Dialect,
    DonorSpec,
    Gradient,
    Parameter,
    Rule,
    Setting,
    SliceSpec,
    StackSpec,
)
from stacker.spec.mergekit.methods import METHODS, BaseRole, Method
from stacker.spec.mergekit.reader import parse_mergekit
from stacker.spec.parser import parse_spec
from stacker.tensors import Dtype
from stacker.text.node import Mapping
from stacker.text.yaml import read_yaml

GOLDEN = Path(__file__).parents[2] / "golden" / "spec"


def spec_of(text: str) -> StackSpec:
    return parse_spec(text, "s.yml")


def golden(name: str) -> StackSpec:
    return parse_spec((GOLDEN / f"{name}.yml").read_bytes(), f"{name}.yml")


def run(*sources: str, more: str = "") -> str:
    """One entry of `slices` from texts like `model [start, stop] parameters`."""
    lines = "".join(f"      - {{{source}}}\n" for source in sources)
    return f"  - sources:\n{lines}{more}"


def rules(*pairs: tuple[str, float | Gradient]) -> Parameter:
    return Parameter(tuple(Rule(match, value) for match, value in pairs))


def test_goliath() -> None:
    """A passthrough file: a donor for each repository, named by the last part of its path, a slice for each source."""
    spec = golden("goliath-mergekit")
    assert spec.dialect is Dialect.MERGEKIT
    assert [(donor.name, donor.source) for donor in spec.donors] == [
        ("Xwin-LM-70B-V0.1", "Xwin-LM/Xwin-LM-70B-V0.1"),
        ("Euryale-1.3-L2-70B", "Sao10K/Euryale-1.3-L2-70B"),
    ]
    assert spec.stack[:2] == (SliceSpec("Xwin-LM-70B-V0.1", 0, 16), SliceSpec("Euryale-1.3-L2-70B", 8, 24))
    assert sum((piece.stop or 0) - (piece.start or 0) for piece in spec.stack if isinstance(piece, SliceSpec)) == 137
    assert spec.output.dtype is Dtype.F16
    assert (spec.embed, spec.head, spec.base, spec.config, spec.tokenizer) == (None,) * 5


def test_slerp_of_models() -> None:
    """`models` are whole donors with the base first; embedding and head are blended like the layers."""
    spec = golden("slerp-mergekit")
    t = rules(
        ("*self_attn*", Gradient((0.0, 0.5, 0.3, 0.7, 1.0))), ("*mlp*", Gradient((1.0, 0.5, 0.7, 0.3, 0.0))), ("*", 0.5)
    )
    sources = (SliceSpec("UNA-TheBeagle-7b-v1"), SliceSpec("distilabeled-Marcoro14-7B-slerp"))
    blend = BlendSpec(sources, "slerp", (Setting("t", t),))
    assert spec.stack == (blend,)
    assert (spec.embed, spec.head) == (blend, blend)
    assert (spec.base, spec.config, spec.tokenizer) == ("UNA-TheBeagle-7b-v1",) * 3


def test_zeroed_copies() -> None:
    """Anchors, merge keys and filters in a well-known block expansion, with warnings for its unknown top-level keys."""
    spec = golden("zeroed-mergekit")
    scale = rules(("*o_proj*", 0.0), ("*down_proj*", 0.0), ("*", 1.0))
    donor = "Meta-Llama-3-8B-Instruct"
    assert spec.stack == (
        SliceSpec(donor, 0, 24),
        SliceSpec(donor, 8, 24, scale),
        SliceSpec(donor, 8, 24, scale),
        SliceSpec(donor, 24, 32),
    )
    assert [problem.message for problem in spec.problems] == [
        f"'{key}' has no effect here" for key in ("const_tag", "residual_scale_tag", "scale_env")
    ]


def test_base_goes_first() -> None:
    """slerp keeps the base at t = 0 wherever it is listed; a slice may have its own base."""
    two = ("model: o/a, layer_range: [0, 4]", "model: o/b, layer_range: [4, 8]")
    slices = run(*two) + run(*two, more="    base_model: o/a")
    spec = spec_of(f"merge_method: slerp\nbase_model: o/b\nparameters: {{t: 0}}\nslices:\n{slices}")
    orders = [[source.donor for source in blend.sources] for blend in spec.stack if isinstance(blend, BlendSpec)]
    assert orders == [["b", "a"], ["a", "b"]]


def test_precedence() -> None:
    """Parameters nearer to a source win; if a filter does not match, the next one is tried."""
    spec = spec_of(
        "merge_method: linear\n"
        "parameters: {weight: 1, normalize: false}\n"
        "modules:\n  default:\n    parameters: {weight: [{filter: mlp, value: 2}]}\n    slices:\n"
        "      - sources:\n"
        "          - {model: o/a, layer_range: [0, 4], parameters: {weight: [{filter: q_proj, value: 4}]}}\n"
        "          - {model: o/b, layer_range: [0, 4]}\n"
        "        parameters: {weight: {filter: attn, value: 3}}\n"
    )
    (blend,) = spec.stack
    assert isinstance(blend, BlendSpec)
    assert blend.sources[0].settings == (Setting("weight", rules(("*q_proj*", 4.0))),)
    assert blend.sources[1].settings == ()
    assert blend.settings == (
        Setting("normalize", Parameter((Rule("*", False),))),
        Setting("weight", rules(("*attn*", 3.0), ("*mlp*", 2.0), ("*", 1.0))),
    )


def test_modules_that_are_carried_along() -> None:
    """One module is stacked, with its own parameters; the donor of the others provides the towers."""
    spec = spec_of(
        "merge_method: passthrough\nbase_model: o/a\nmodules:\n  vision_tower: {models: [{model: o/a}]}\n"
        "  text_decoder:\n    parameters: {scale: 2}\n    slices:\n"
        "      - sources: [{model: o/b, layer_range: [0, 4]}]\n      - sources: [{model: o/a, layer_range: [2, 4]}]\n"
    )
    donors = [piece.donor for piece in spec.stack if isinstance(piece, SliceSpec)]
    assert (donors, spec.towers, spec.config) == (["b", "a"], "a", "a")


def test_blended_language_model_beside_a_carried_tower() -> None:
    """If all modules have `models`, the language model is known by its name."""
    spec = spec_of(
        "merge_method: linear\nparameters: {weight: 1}\nmodules:\n  vision_tower: {models: [{model: o/b}]}\n"
        "  text_decoder: {models: [{model: o/a}, {model: o/b}]}\n"
    )
    (blend,) = spec.stack
    assert isinstance(blend, BlendSpec)
    assert ([source.donor for source in blend.sources], spec.towers) == (["a", "b"], "b")


def test_scale_levels() -> None:
    """passthrough's `scale` comes from all levels, and also applies to embedding and head beside a scaled slice."""
    sources = "model: o/a, layer_range: [0, 4], parameters: {scale: [{filter: o_proj, value: 0}]}"
    spec = spec_of(f"merge_method: passthrough\nparameters: {{scale: 2}}\nslices:\n{run(sources)}")
    scale = rules(("*o_proj*", 0.0), ("*", 2.0))
    assert spec.stack == (SliceSpec("a", 0, 4, scale),)
    assert (spec.embed, spec.head) == (SliceSpec("a", scale=scale),) * 2


def test_slices_of_no_layers() -> None:
    """A first or last slice of no layers gives the embedding or the head; one in between gives nothing."""
    b, scaled = "model: o/b, layer_range: [0, 0]", "model: o/b, layer_range: [8, 8], parameters: {scale: 2}"
    a = [f"model: o/a, layer_range: [{start}, {stop}]" for start, stop in ((0, 4), (2, 2), (2, 6))]
    spec = spec_of(f"merge_method: passthrough\nslices:\n{''.join(map(run, (b, *a, scaled)))}")
    assert spec.stack == (SliceSpec("a", 0, 4), SliceSpec("a", 2, 6))
    assert (spec.embed, spec.head) == (SliceSpec("b"), SliceSpec("b", scale=rules(("*", 2.0))))


def test_blend_of_no_layers() -> None:
    """A blend of no layers blends the embeddings, whatever the number of the layer where it begins."""
    ends = ("model: o/a, layer_range: [3, 3]", "model: o/b, layer_range: [0, 0]")
    plain = "model: o/b, layer_range: [0, 8]"
    spec = spec_of(f"merge_method: linear\nparameters: {{weight: 1}}\nslices:\n{run(*ends)}{run(plain)}")
    assert spec.stack == (SliceSpec("b", 0, 8),)
    assert isinstance(spec.embed, BlendSpec)
    assert spec.embed.sources == (SliceSpec("a"), SliceSpec("b"))


def test_one_source_among_blends() -> None:
    """A slice of one donor in a file of blends copies that donor's layers."""
    blend = ("model: o/a, layer_range: [0, 4]", "model: o/b, layer_range: [0, 4]")
    plain = "model: o/b, layer_range: [4, 8], parameters: {weight: 0.5}"
    spec = spec_of(f"merge_method: linear\nparameters: {{weight: 1}}\nslices:\n{run(*blend)}{run(plain)}")
    assert spec.stack[1] == SliceSpec("b", 4, 8)
    assert spec.head is None
    assert isinstance(spec.embed, BlendSpec)


def test_base_joins_models() -> None:
    """A base that is not among `models` is added to the sources."""
    spec = spec_of(
        "merge_method: linear\nbase_model: o/c\nmodels: [{model: o/a}, {model: o/b}]\nparameters: {weight: 1}\n"
    )
    (blend,) = spec.stack
    assert isinstance(blend, BlendSpec)
    assert [source.donor for source in blend.sources] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("reference", "donor"),
    [
        pytest.param("o/a@main", DonorSpec("a", "o/a", "main"), id="revision"),
        pytest.param("./a b", DonorSpec("a-b", "./a b"), id="folder"),
        pytest.param("{model: o/a}", DonorSpec("a", "o/a"), id="mapping"),
        pytest.param("{model: {path: o/a, revision: v1}}", DonorSpec("a", "o/a", "v1"), id="path-and-revision"),
        pytest.param("{model: o/a, lora: null}", DonorSpec("a", "o/a"), id="no-lora"),
    ],
)
def test_references(reference: str, donor: DonorSpec) -> None:
    """A model is a path, a path with a revision, or a mapping of them."""
    assert spec_of(f"merge_method: passthrough\nmodels:\n  - model: {reference}\n").donors == (donor,)


def test_names_are_unique() -> None:
    """Two models whose paths end alike get different names; one model has one name."""
    sources = [
        f"model: {model}, layer_range: [{at}, {at + 1}]" for at, model in enumerate(["x/m", "y/m", "x/m", "x/m@v"])
    ]
    spec = spec_of("merge_method: passthrough\nslices:\n" + "".join(map(run, sources)))
    assert [donor.name for donor in spec.donors] == ["m", "m-2", "m-3"]
    assert [piece.donor for piece in spec.stack if isinstance(piece, SliceSpec)] == ["m", "m-2", "m", "m-3"]


@pytest.mark.parametrize(
    ("lines", "tokenizer"),
    [
        pytest.param("", "b", id="default-is-the-base"),
        pytest.param("tokenizer_source: base\n", "b", id="base"),
        pytest.param("tokenizer_source: o/a\n", "a", id="a-model"),
        pytest.param("tokenizer_source: o/c@v\n", "c", id="another-model"),
        pytest.param("tokenizer: {source: o/a}\n", "a", id="mapping"),
        pytest.param("tokenizer: {source: {model: {path: o/a}}, tokens: null}\n", "a", id="nested-mapping"),
    ],
)
def test_tokenizer(lines: str, tokenizer: str) -> None:
    """The tokenizer is that of the named model, or else of the base."""
    spec = spec_of(
        f"merge_method: passthrough\nbase_model: o/b\nslices:\n{run('model: o/a, layer_range: [0, 4]')}{lines}"
    )
    assert spec.tokenizer == tokenizer
    assert tokenizer in {donor.name for donor in spec.donors}


@pytest.mark.parametrize(
    ("lines", "dtype"),
    [
        pytest.param("dtype: float16\n", Dtype.F16, id="dtype"),
        pytest.param("dtype: float32\nout_dtype: bfloat16\n", Dtype.BF16, id="out-dtype-wins"),
        pytest.param("", None, id="kept"),
    ],
)
def test_dtype(lines: str, dtype: Dtype | None) -> None:
    """The stored type is `out_dtype`, or `dtype`, or else the donors'."""
    assert spec_of(f"merge_method: passthrough\nmodels: [{{model: o/a}}]\n{lines}").output.dtype is dtype


def test_no_effect() -> None:
    """Keys that mergekit ignores silently are warnings with their places."""
    spec = spec_of(
        "merge_method: slerp\nbase_model: o/a\nnote: x\nslices:\n"
        "  - residual_weight: 0.5\n    sources:\n"
        "      - {model: o/a, layer_range: [0, 4], parameters: {t: 1}}\n"
        "      - {model: o/b, layer_range: [0, 4], wieght: 1}\n"
        "parameters: {t: 0.5, int4_mask: true}\n"
    )
    assert [f"{problem.mark}: {problem.message}" for problem in spec.problems] == [
        "s.yml:3:1: 'note' has no effect here",
        "s.yml:5:5: 'residual_weight' has no effect here",
        "s.yml:7:56: 'slerp' has no parameter 't' at a source; it has no effect",
        "s.yml:8:43: 'wieght' has no effect here",
        "s.yml:9:22: 'slerp' has no parameter 'int4_mask'; it has no effect",
    ]


def test_int8_mask_changes_no_result() -> None:
    """Model cards of task-vector merges have this parameter of mergekit, which says how masks are stored."""
    models = "models:\n  - {model: o/a, parameters: {weight: 1, density: 0.5}}\n"
    text = f"merge_method: ties\nbase_model: o/b\n{models}parameters: {{normalize: true, int8_mask: true}}\n"
    assert spec_of(text).problems == ()


def test_a_method_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task-vector method is only a row of the table: the base leaves the sources and becomes the reference."""
    row = Method("ties", "ties", ("weight", "density"), ("lambda",), BaseRole.REFERENCE)
    monkeypatch.setitem(METHODS, "ties", row)
    text = "merge_method: ties\nbase_model: o/c\nmodels: [{model: o/a, parameters: {density: 0.5}}, {model: o/b}]\n"
    root = read_yaml(text, "s")
    assert isinstance(root, Mapping)
    spec, found = parse_mergekit(root, "s")
    density = (Setting("density", rules(("*", 0.5))),)
    assert found == []
    assert spec.stack == (BlendSpec((SliceSpec("a", settings=density), SliceSpec("b")), "ties", base=SliceSpec("c")),)


@pytest.mark.parametrize(("text", "value"), [("1", True), ("0.0", False), ("true", True), ("false", False)])
def test_flags_may_be_numbers(text: str, value: bool) -> None:
    """mergekit itself writes `true` as 1.0."""
    models = "models: [{model: a/x}, {model: a/y}]"
    spec = spec_of(f"merge_method: linear\n{models}\nparameters: {{weight: 1, normalize: {text}}}\n")
    assert isinstance(spec.stack[0], BlendSpec)
    settings = {setting.name: setting.parameter for setting in spec.stack[0].settings}
    assert settings["normalize"] == Parameter((Rule("*", value),))
    assert settings["normalize"].rules[0].value is value


def test_types_may_be_written_as_torch_writes_them() -> None:
    """`torch.bfloat16` is bfloat16."""
    text = "merge_method: linear\ndtype: torch.bfloat16\nmodels:\n  - {model: a, parameters: {weight: 1}}\n"
    assert parse_spec(text, "s.yml").output.dtype is Dtype.BF16


def test_a_revision_beside_its_model_is_a_warning() -> None:
    """mergekit passes over it; the hint says where it belongs."""
    text = "merge_method: linear\nmodels:\n  - {model: a, revision: v1, parameters: {weight: 1}}\n"
    (warning,) = parse_spec(text, "s.yml").problems
    assert "'revision' has no effect" in warning.message
    assert "model: org/name@revision" in warning.hint


def test_a_mixture_of_experts_file_is_named() -> None:
    """A mergekit-moe file is told from a misspelt spec."""
    text = "base_model: a\ngate_mode: hidden\nexperts:\n  - {source_model: b, positive_prompts: [x]}\n"
    with pytest.raises(SpecError, match="this is a mergekit-moe file"):
        parse_spec(text, "s.yml")
