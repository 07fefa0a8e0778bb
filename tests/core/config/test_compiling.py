"""The config.json of a stack: depth, per-layer entries, vocabulary, dtype, ties, and unsafe keys."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from stacker.arch.files.architecture import LayerRule, WriteKind
from stacker.arch.files.formula import parse_formula
from stacker.core.config.compiling import compile_config
from stacker.core.values.donor import Donor
from stacker.errors import Mark, Problem, Severity, select_errors
from stacker.tensors import Dtype
from tests.core.stacks import make_donor

QWEN: dict[str, Any] = {
    "model_type": "qwen2", "use_sliding_window": True, "sliding_window": 4, "max_window_layers": 4,
}  # fmt: skip


def compiled(*layers: tuple[Donor, int] | list[tuple[Donor, int]], **options: Any) -> dict[str, Any]:
    """The config of a stack without errors; template and ends default to the first layer's donor."""
    config, problems = compile_all(*layers, **options)
    assert not select_errors(problems)
    return config


def compile_all(
    *layers: tuple[Donor, int] | list[tuple[Donor, int]], **options: Any
) -> tuple[dict[str, Any], tuple[Problem, ...]]:
    """The config and all problems; a list of donor layers is a blend."""
    feeds = [layer if isinstance(layer, list) else [layer] for layer in layers]
    first = feeds[0][0][0]
    ends = {"embed": first, "head": first} | {key: options.pop(key) for key in ("embed", "head") if key in options}
    return compile_config(options.pop("template", first), feeds, **ends, **options)


def run(donor: Donor, *layers: int) -> list[tuple[Donor, int]]:
    """Layers of one donor."""
    return [(donor, layer) for layer in layers]


def test_depth_and_order() -> None:
    """The number of layers changes, and nothing else; keys keep their order."""
    donor = make_donor()
    config = compiled(*run(donor, 0, 1, 2, 1, 2, 3, 4, 5))
    assert config == dict(donor.config) | {"num_hidden_layers": 8}
    assert list(config) == list(donor.config)


@pytest.mark.parametrize("model_type", ["gpt2", "falcon"])
def test_depth_keys(model_type: str) -> None:
    """Each family has its own key for the depth; a second key of the same meaning is set too."""
    gpt2: dict[str, Any] = {"n_layer": 6, "n_embd": 16, "n_head": 2, "n_positions": 8}
    donor = make_donor(model_type=model_type, **(gpt2 if model_type == "gpt2" else {}))
    config = compiled(*run(donor, 0, 1))
    assert config["num_hidden_layers"] == 2
    assert config.get("n_layer", 2) == 2


def test_lists_follow_their_own_donors() -> None:
    """An old period rule becomes a list in which each layer has the kind it has in its donor."""
    a = make_donor("a", **QWEN)
    b = make_donor("b", **QWEN | {"max_window_layers": 1})
    config = compiled((a, 0), (a, 5), (b, 0), (b, 1))
    kinds = ["full_attention", "sliding_attention", "full_attention", "sliding_attention"]
    assert config["layer_types"] == kinds
    assert "max_window_layers" not in config


def test_a_period_that_still_holds_is_kept() -> None:
    """Beside the list stands the period, for programs that read only that, unless it would contradict the list."""
    donor = make_donor(model_type="smollm3", no_rope_layer_interval=3)
    assert compiled(*run(donor, 0, 1, 2, 0, 1, 2))["no_rope_layer_interval"] == 3
    assert "no_rope_layer_interval" not in compiled(*run(donor, 0, 1, 2, 2))


def test_the_rotary_base_stands_where_older_programs_read_it() -> None:
    """The base of the whole model is repeated, an entry that is there already is kept, and bases by kind are not."""
    flat = make_donor(rope_parameters={"rope_type": "default", "rope_theta": 5e5})
    bare = replace(flat, config={key: value for key, value in flat.config.items() if key != "rope_theta"})
    assert compiled(*run(bare, 0, 1))["rope_theta"] == 5e5
    by_kind = replace(bare, config=dict(bare.config) | {"rope_parameters": {"full_attention": {"rope_theta": 1e6}}})
    assert "rope_theta" not in compiled(*run(by_kind, 0, 1))


def test_unknown_lists_of_strings_follow_the_layers() -> None:
    """Transformers refuses a `layer_types` of another length in any config that has one."""
    donor = make_donor(layer_types=["a", "b", "c", "d", "e", "f"], eos_token_id=[1, 2, 3, 4, 5, 6])
    config = compiled(*run(donor, 5, 0))
    assert config["layer_types"] == ["f", "a"]
    assert config["eos_token_id"] == [1, 2, 3, 4, 5, 6]


def test_entries_computed_from_the_depth() -> None:
    """An entry computed from the number of layers is computed again."""
    donor = make_donor(scale_depth=2.0)
    scaled = replace(donor.architecture, sized=(("scale_depth", parse_formula("scale_depth * depth / old_depth")),))
    config = compiled(*run(replace(donor, architecture=scaled), 0, 1, 2))
    assert config["scale_depth"] == 1.0


def test_nested_entries_are_dropped() -> None:
    """A rule may drop an entry inside another, and leave the rest of it."""
    donor = make_donor(linear={"layers": [1], "size": 3})
    read = (parse_formula("i in linear.layers"),)
    rule = LayerRule("r", "kinds", WriteKind.LIST, read, drop=("linear.layers", "nowhere.at.all"))
    architecture = replace(donor.architecture, rules=(rule,))
    config = compiled(*run(replace(donor, architecture=architecture), 1, 0))
    assert (config["kinds"], config["linear"]) == ([True, False], {"size": 3})


def test_a_nested_language_model() -> None:
    """Where the language model's config is an entry of a larger one, only that entry follows the layers."""
    donor = make_donor()
    config: dict[str, Any] = {
        "text_config": dict(donor.config),
        "vision_config": {"num_hidden_layers": 6},
        "torch_dtype": "float16",
    }
    nested = replace(donor, config=config, architecture=replace(donor.architecture, scope="text_config"))
    found = compiled(*run(nested, 0, 1), dtype=Dtype.F32, tied=True)
    assert found["text_config"]["num_hidden_layers"] == 2
    assert found["text_config"]["tie_word_embeddings"] is True
    assert found["vision_config"] == {"num_hidden_layers": 6}
    assert (found["dtype"], found["text_config"]["dtype"]) == ("float32", "float32")


def test_index_sets_are_renumbered() -> None:
    """Dense layers given by a step are listed by their new positions, where the step becomes one."""
    donor = make_donor(model_type="qwen3_moe", num_experts=2, moe_intermediate_size=8, decoder_sparse_step=3)
    config = compiled(*run(donor, 2, 2, 5, 0))
    assert (config["mlp_only_layers"], config["decoder_sparse_step"]) == ([3], 1)


def test_unknown_style_names_the_fallback() -> None:
    """Gemma 2's hub config has no list of kinds: sliding and full attention alternate, and are written out."""
    donor = make_donor(model_type="gemma2", head_dim=8)
    assert compiled(*run(donor, 1, 1, 2))["layer_types"] == ["full_attention", "full_attention", "sliding_attention"]


@pytest.mark.parametrize(
    ("before", "dtype", "after"),
    [
        ({"torch_dtype": "float16", "dtype": None}, None, "float16"),
        ({"torch_dtype": "float16", "dtype": None}, Dtype.F32, "float32"),
        ({"dtype": "bfloat16"}, Dtype.F16, "float16"),
        ({"dtype": "bfloat16"}, None, "bfloat16"),
        ({"dtype": "float16"}, Dtype.F8_E4M3, "float16"),
        ({"dtype": "float8_e5m2"}, Dtype.F8_E4M3, "bfloat16"),
        ({"dtype": None}, Dtype.F8_E5M2, "bfloat16"),
    ],
)
def test_dtype(before: dict[str, Any], dtype: Dtype | None, after: str) -> None:
    """`dtype` holds the type to compute in, under whichever key the template had it; never fp8."""
    config = compiled(*run(make_donor(**before), 0), dtype=dtype)
    assert config["dtype"] == after
    assert "torch_dtype" not in config


@pytest.mark.parametrize("entry", [True, False])
@pytest.mark.parametrize("tied", [True, False])
def test_tied_is_what_the_tensors_are(entry: bool, tied: bool) -> None:
    """The caller says whether head and embedding are one tensor; the template counts only without it."""
    donor = make_donor(tie_word_embeddings=entry)
    assert compiled(*run(donor, 0), tied=tied)["tie_word_embeddings"] is tied
    assert compiled(*run(donor, 0))["tie_word_embeddings"] is entry


def test_an_untied_stack_of_a_family_tied_by_default() -> None:
    """Gemma's configs have no entry for ties; that of an untied stack gets one."""
    config = {key: value for key, value in make_donor().config.items() if key != "tie_word_embeddings"}
    donor = make_donor(model_type="gemma2", head_dim=8)
    silent = Donor("a", "./a", {**config, "model_type": "gemma2", "head_dim": 8}, donor.architecture, 6, donor.tensors)
    assert "tie_word_embeddings" not in compiled(*run(silent, 0, 1), tied=True)
    assert compiled(*run(silent, 0, 1), tied=False)["tie_word_embeddings"] is False


def test_vocabulary_follows_the_embedding() -> None:
    """The number of tokens is that of the embedding's donor."""
    a, b = make_donor("a"), make_donor("b", vocab_size=30)
    assert compiled((a, 0), (a, 1), embed=b)["vocab_size"] == 30


def test_token_ids_follow_the_tokenizer() -> None:
    """Special tokens are the tokenizer's."""
    a = make_donor("a", eos_token_id=2, pad_token_id=0)
    b = make_donor("b", eos_token_id=[5, 6], bos_token_id=1)
    config = compiled((a, 0), (a, 1), tokenizer=b)
    assert (config["eos_token_id"], config["bos_token_id"], "pad_token_id" in config) == ([5, 6], 1, False)


def test_prediction_layers_are_set_to_zero() -> None:
    """A stack has no layers for multi-token prediction."""
    assert compiled(*run(make_donor(num_nextn_predict_layers=1), 0))["num_nextn_predict_layers"] == 0


def test_unsafe_keys_are_removed() -> None:
    """Keys that run code or redirect files are removed at any depth, with a warning for those needed to load."""
    harmful: dict[str, Any] = {
        "auto_map": {"AutoModel": "x.Y"}, "_name_or_path": "x", "trust_remote_code": True,
        "transformers_weights": "../x", "_attn_implementation_internal": "x/y", "attn_implementation": "x/y",
        "rope_scaling": {"_x": 1, "factor": 2.0},
    }  # fmt: skip
    config, problems = compile_all(*run(make_donor(**harmful), 0))
    assert not (harmful.keys() - {"rope_scaling"}) & config.keys()
    assert config["rope_scaling"] == {"factor": 2.0}
    assert len(problems) == 3
    assert {problem.severity for problem in problems} == {Severity.WARNING}


def test_infinity_is_kept() -> None:
    """Transformers writes numbers that JSON lacks as objects with the key `__float__`."""
    limit = [0.0, {"__float__": "Infinity"}]
    assert compiled(*run(make_donor(time_step_limit=limit), 0))["time_step_limit"] == limit


def test_the_template_is_not_touched() -> None:
    """Compiling twice gives the same config twice."""
    donor = make_donor(**QWEN, rope_scaling={"factor": 2.0})
    once = compiled(*run(donor, 0, 1))
    once["rope_scaling"]["factor"] = 3.0
    assert donor.config["rope_scaling"] == {"factor": 2.0}
    assert donor.config["num_hidden_layers"] == 6


def test_blended_layers_must_be_of_one_kind() -> None:
    """Full and sliding attention cannot be blended; the problem says where and which."""
    a, b = make_donor("a", **QWEN), make_donor("b", **QWEN)
    mark = Mark("s.yml", 3, 5)
    _, problems = compile_all([(a, 0), (b, 5)], marks=[mark])
    (problem,) = select_errors(problems)
    assert "layer 0 blends layers of different kinds" in problem.message
    assert "a[0] and b[5]" in problem.message
    assert problem.mark == mark


def test_blends_of_one_kind() -> None:
    """A blend of two layers of one kind keeps that kind."""
    a, b = make_donor("a", **QWEN), make_donor("b", **QWEN)
    assert compiled([(a, 4), (b, 5)], [(a, 0), (b, 1)])["layer_types"] == ["sliding_attention", "full_attention"]


@pytest.mark.parametrize(
    ("mine", "other", "dtype", "message"),
    [
        ({"quant_method": "fp8"}, None, None, "quantised differently"),
        ({"quant_method": "fp8"}, {"quant_method": "gptq"}, None, "quantised differently"),
        ({"quant_method": "fp8"}, {"quant_method": "fp8"}, Dtype.BF16, "moved, not cast"),
        ({"skip": ["model.layers.[1-3].mlp"]}, {"skip": ["model.layers.[1-3].mlp"]}, None, "cannot be renumbered"),
        ({"skip": [r"re:.*layers\.(1|2)\.mlp"]}, {"skip": []}, None, "cannot be renumbered"),
    ],
)
def test_quantised_donors(mine: Any, other: Any, dtype: Dtype | None, message: str) -> None:
    """Donors that are quantised differently, cast, or name several layers at once are refused."""
    a = make_donor("a", quantization_config=mine)
    b = make_donor("b", quantization_config=other)
    _, problems = compile_all((a, 0), (b, 1), dtype=dtype)
    assert message in "\n".join(problem.message for problem in select_errors(problems))


def test_quantised_alike() -> None:
    """Donors quantised alike keep their quantization."""
    quantization = {"quant_method": "fp8", "modules_to_not_convert": ["lm_head"]}
    a, b = (make_donor(name, quantization_config=quantization) for name in "ab")
    assert compiled((a, 0), (b, 1))["quantization_config"] == quantization
