"""Families without a file, inferred from config and tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from stacker.arch.dimensions import collect_names, count_layers
from stacker.arch.files.architecture import Architecture, WriteKind
from stacker.arch.inference import infer_architecture
from stacker.arch.layer_rules import read_layer_value
from stacker.arch.placement import place_tensors
from stacker.errors import DonorError
from stacker.formats.json_object import Json
from stacker.tensors import Dtype, TensorSpec

ENDS = ("model.embed_tokens.weight", "model.norm.weight", "lm_head.weight")


def specs(*names: str) -> dict[str, TensorSpec]:
    """Tensors of one shape."""
    return {name: TensorSpec(name, Dtype.BF16, (4, 4)) for name in names}


def layers(
    count: int, *suffixes: str, prefix: str = "model.layers.", more: Mapping[int, str] | None = None
) -> list[str]:
    """Names of `count` layers that all have `suffixes`, some of them one more."""
    found = [f"{prefix}{index}.{suffix}" for index in range(count) for suffix in suffixes]
    return found + [f"{prefix}{index}.{suffix}" for index, suffix in (more or {}).items()]


def infer(config: dict[str, Any], *names: str) -> Architecture:
    """The architecture of a donor with these tensors."""
    return infer_architecture({"model_type": "new", **config}, specs(*names))


def values(family: Architecture, config: dict[str, Any], rule: str) -> list[Any]:
    """The value of a rule for each layer."""
    found = next(each for each in family.rules if each.name == rule)
    depth = count_layers(family, config)
    names = {**collect_names(family, config), "depth": depth}
    return [read_layer_value(found, names, index) for index in range(depth)]


@pytest.mark.parametrize(
    ("config", "prefix", "text"),
    [
        ({"num_hidden_layers": 4}, "model.layers.", "num_hidden_layers"),
        ({"n_layer": 4}, "transformer.h.", "n_layer"),
        ({"n_layers": 4, "num_layers": 2}, "blocks.", "n_layers"),
        ({"num_layers": 4, "num_hidden_layers": 8}, "model.layers.", "num_layers"),
        ({"layers_block_type": ["a", "b", "c", "d"]}, "backbone.layers.", "len(layers_block_type)"),
        ({"num_hidden_layers": 4}, "", "num_hidden_layers"),
    ],
)
def test_depth_and_prefix_agree_with_the_tensors(config: dict[str, Any], prefix: str, text: str) -> None:
    """Of several depth keys, the one that agrees with the tensors is used."""
    family = infer(config, *layers(4, "attn.q_proj.weight", "experts.7.w1.weight", prefix=prefix), *ENDS)
    assert (family.prefix, family.depth.text) == (prefix + "{i}.", text)
    assert family.inferred
    assert "inferred" in family.notes[0]


def test_a_nested_language_model() -> None:
    """Of vision and language layers, those that agree with the text config are used; the larger if both do."""
    config = {"text_config": {"num_hidden_layers": 3, "layer_types": ["x", "y", "z"]}, "num_hidden_layers": 2}
    names = [*layers(3, "a.weight", "b.weight", prefix="language_model.model.layers.")]
    names += layers(2, "a.weight", prefix="vision_tower.encoder.layers.")
    family = infer(config, *names)
    assert (family.scope, family.prefix) == ("text_config", "language_model.model.layers.{i}.")
    assert values(family, config, "attention") == ["x", "y", "z"]


def test_further_layers_for_prediction() -> None:
    """Layers for multi-token prediction do not count for the depth."""
    config = {"num_hidden_layers": 3, "num_nextn_predict_layers": 1}
    family = infer(config, *layers(4, "a.weight"))
    assert count_layers(family, config) == 3


@pytest.mark.parametrize(
    ("config", "names"),
    [
        ({"num_hidden_layers": 5}, layers(4, "a.weight")),
        ({"hidden_size": 4}, layers(4, "a.weight")),
        ({"num_hidden_layers": 4}, ["x.weight"]),
        ({"num_hidden_layers": 4}, layers(4, "a.weight")[1:]),
        ({"num_hidden_layers": 2}, []),
    ],
    ids=["too few", "no key", "no layers", "a gap", "no tensors"],
)
def test_disagreement_is_the_donor_s_fault(config: dict[str, Any], names: list[str]) -> None:
    """If config and tensors disagree, the message shows both."""
    with pytest.raises(DonorError, match="do not agree"):
        infer(config, *names)


@pytest.mark.parametrize(
    ("config", "rule", "expected"),
    [
        ({"layer_types": ["a", "b", "a", "a"]}, "attention", ["a", "b", "a", "a"]),
        ({"anything": [1, 2, 3, 4]}, "anything", [1, 2, 3, 4]),
        ({"sliding_window_pattern": 2}, "attention", ["sliding_attention", "full_attention"] * 2),
        ({"full_attention_interval": 4}, "attention", ["linear_attention"] * 3 + ["full_attention"]),
        ({"full_attn_idxs": [2]}, "attention", ["conv", "conv", "full_attention", "conv"]),
        ({"first_k_dense_replace": 1}, "first_dense", [True, False, False, False]),
        (
            {"decoder_sparse_step": 2, "mlp_only_layers": [1], "num_experts": 2},
            "dense_alone",
            [True, True, True, False],
        ),
        ({"moe_layers": [0, 3]}, "moe", [True, False, False, True]),
        ({"interleave_moe_layer_step": 2}, "moe", [False, True, False, True]),
        ({"hybrid_override_pattern": "M*E-"}, "mixer", ["mamba", "attention", "moe", "mlp"]),
        ({"block_types": ["r", "r", "a"]}, "block", ["r", "r", "a", "r"]),
        ({"attention_types": [[["g", "l"], 2]]}, "local_runs", ["g", "l", "g", "l"]),
        ({"no_rope_layer_interval": 4}, "no_rope", [1, 1, 1, 0]),
        ({"per_layer_config": {"1": {"x": 2}}}, "by_layer", [[], {"x": 2}, [], []]),
        (
            {"use_sliding_window": False, "sliding_window": 4, "max_window_layers": 1},
            "attention",
            ["full_attention"] * 4,
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_known_keys(config: dict[str, Any], rule: str, expected: list[Any]) -> None:
    """Config keys known from other families have the same meaning."""
    config = {"num_hidden_layers": 4, **config}
    assert values(infer(config, *layers(4, "a.weight")), config, rule) == expected


@pytest.mark.parametrize(
    "config", [{}, {"eos_token_id": [1, 2, 3, 4]}, {"short": [1, 2]}, {"first_k_dense_replace": None}]
)
def test_no_rule_without_a_key(config: dict[str, Any]) -> None:
    """Lists that are never per layer, lists of another length and nulls do not become rules."""
    assert infer({"num_hidden_layers": 4, **config}, *layers(4, "a.weight")).rules == ()


@pytest.mark.parametrize(
    ("odd", "formula"),
    [
        ([0], "i == 0"),
        ([5], "i == depth - 1"),
        ([0, 2, 4], "[0, 1][i % 2]"),
        ([1, 2, 5], "[0, 1, 1, 0, 0, 1][i]"),
        ([0, 1], "[0, 0, 1, 1, 1, 1][i]"),
    ],
)
def test_unexplained_differences_bind_layers_to_places(odd: list[int], formula: str) -> None:
    """Layers whose difference the config does not explain keep the positions of their kind."""
    names = layers(6, "a.weight", more=dict.fromkeys(odd, "extra.weight"))
    (rule,) = infer({"num_hidden_layers": 6}, *names).rules
    assert (rule.write, rule.read[0].text) == (WriteKind.POSITION, formula)
    assert "nothing in the config says which is which" in rule.reason


def test_explained_differences_do_not() -> None:
    """If a config list explains the kinds of layers, they may move."""
    names = layers(6, "a.weight", more={1: "extra.weight", 4: "extra.weight"})
    family = infer({"num_hidden_layers": 6, "kinds": ["x", "y", "x", "z", "y", "x"]}, *names)
    assert [rule.write for rule in family.rules] == [WriteKind.LIST]


def test_tensors_that_hold_something_of_each_layer() -> None:
    """A table over all layers is recognised as split among them, in any module."""
    names = [*layers(4, "a.weight"), "model.embed_tokens_per_layer.weight"]
    family = infer({"num_hidden_layers": 4}, *names)
    assert family.apart == ("*embed_tokens_per_layer.weight[:, {i}]",)
    assert family.rules == ()


def test_tensors_with_a_layer_s_number_are_its_own() -> None:
    """A layer that lacks another layer's tensor outside the layers is of another kind."""
    names = [*layers(4, "a.weight"), *(f"x.attn_res.attn_queries.{i}" for i in range(3))]
    (rule,) = infer({"num_hidden_layers": 4}, *names).rules
    assert (rule.write, rule.read[0].text) == (WriteKind.POSITION, "i == 0")


@pytest.mark.parametrize(
    ("ends", "tied"),
    [
        (ENDS, ("lm_head.weight", ENDS[0])),
        (ENDS[:2], ("lm_head.weight", ENDS[0])),
        (("embed_in.weight", "embed_out.weight"), ("embed_out.weight", "embed_in.weight")),
        (("transformer.wte.weight", "transformer.wpe.weight"), ("lm_head.weight", "transformer.wte.weight")),
    ],
)
def test_ends(ends: tuple[str, ...], tied: tuple[str, str]) -> None:
    """The head is paired with the embedding, whether it is saved or not."""
    assert infer({"num_hidden_layers": 4}, *layers(4, "a.weight"), *ends).tied == (tied,)


@pytest.mark.parametrize(
    ("suffix", "role"),
    [
        ("self_attn.q_proj.weight", "attn.q"),
        ("attn.c_attn.weight", "attn.qkv"),
        ("attn.c_proj.bias", "attn.o.bias"),
        ("attention.dense.weight", "attn.o"),
        ("self_attention.query_key_value.bias", "attn.qkv.bias"),
        ("self_attn.out_proj.weight", "attn.o"),
        ("self_attn.q_norm.weight", "attn.q_norm"),
        ("self_attn.k_layernorm.weight", "attn.k_norm"),
        ("self_attn.kv_a_proj_with_mqa.weight", "attn.kv_a"),
        ("self_attn.kv_a_layernorm.weight", "attn.norm"),
        ("self_attn.sinks", "attn.sink"),
        ("input_layernorm.weight", "norm.input"),
        ("ln_1.weight", "norm.input"),
        ("ln_2.bias", "norm.pre_mlp.bias"),
        ("post_attention_layernorm.weight", "norm.pre_mlp"),
        ("pre_feedforward_layernorm.weight", "norm.pre_mlp"),
        ("post_feedforward_layernorm.weight", "norm.post_mlp"),
        ("post_mlp_layernorm.weight", "norm.post_mlp"),
        ("post_self_attn_layernorm.weight", "norm.post_attn"),
        ("operator_norm.weight", "norm.input"),
        ("ffn_norm.weight", "norm.pre_mlp"),
        ("mlp.gate_proj.weight", "mlp.gate"),
        ("mlp.gate.weight", "router"),
        ("mlp.gate.e_score_correction_bias", "router.bias"),
        ("block_sparse_moe.gate.weight", "router"),
        ("mlp.experts.3.gate_proj.weight", "mlp.gate.expert"),
        ("mlp.experts.gate_up_proj", "mlp.gate_up.expert"),
        ("mlp.experts.down_proj_bias", "mlp.down.expert.bias"),
        ("mlp.shared_experts.up_proj.weight", "mlp.up.shared"),
        ("mlp.shared_expert.down_proj.weight", "mlp.down.shared"),
        ("block_sparse_moe.experts.0.w2.weight", "mlp.down.expert"),
        ("mlp.c_fc.weight", "mlp.up"),
        ("mlp.c_proj.weight", "mlp.down"),
        ("mlp.fc1.weight", "mlp.up"),
        ("mlp.dense_4h_to_h.weight", "mlp.down"),
        ("feed_forward.w1.weight", "mlp.up"),
        ("mamba.A_log", "ssm.state"),
        ("mamba.in_proj.weight", "ssm.in"),
        ("linear_attn.in_proj_qkvz.weight", "ssm.in"),
        ("mixer.D", "ssm.state"),
        ("linear_attn.conv1d.weight", "ssm.conv"),
        ("mamba.out_proj.weight", "ssm.out"),
        ("mixer.norm.weight", "ssm.norm"),
        ("conv.conv.weight", "ssm.conv"),
        ("conv.in_proj.weight", "ssm.in"),
        ("conv.out_proj.weight", "ssm.out"),
        ("whatever", "other"),
    ],
)
def test_roles_by_name(suffix: str, role: str) -> None:
    """Common tensor names of layers get the right roles."""
    config: dict[str, Any] = {"num_hidden_layers": 2, "model_type": "new"}
    names = layers(2, suffix, "filler.weight")
    family = infer(config, *names)
    assert place_tensors(family, config, specs(*names))[f"model.layers.0.{suffix}"].role == role


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("model.embed_tokens.weight", "embed"),
        ("transformer.wpe.weight", "embed.position"),
        ("model.embedding_norm.weight", "norm.final"),
        ("transformer.word_embeddings_layernorm.bias", "embed.norm.bias"),
        ("transformer.ln_f.weight", "norm.final"),
        ("backbone.norm_f.weight", "norm.final"),
        ("lm_head.bias", "head.bias"),
        ("gpt_neox.embed_in.weight", "embed"),
        ("backbone.embeddings.weight", "embed"),
        ("model.final_layernorm.weight", "norm.final"),
        ("model.vision_tower.norm.weight", "embed.other"),
        ("something.else", "head.other"),
    ],
)
def test_roles_outside_the_layers(name: str, role: str) -> None:
    """Common tensor names outside the layers get the right roles."""
    config: dict[str, Any] = {"num_hidden_layers": 2, "model_type": "new"}
    names = [*layers(2, "filler.weight"), name]
    assert place_tensors(infer(config, *names), config, specs(*names))[name].role == role


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        ("rope_scaling_layers", [1, 3], WriteKind.INDICES),
        ("rope_scaling_layers", [0, 1, 2, 3], WriteKind.INDICES),
        ("per_head_widths", [4, 1, 2, 3], WriteKind.LIST),
        ("kv_of", [0, 0, 2, 2], WriteKind.POSITION),
        ("skip_layers", [0, 1, 1, 0], WriteKind.LIST),
        ("target_layers", [1, 9], None),
    ],
)
def test_lists_of_layers_by_number(key: str, value: list[int], kind: WriteKind | None) -> None:
    """A list whose key and values are those of layer indices becomes an index rule."""
    family = infer({"num_hidden_layers": 4, key: value}, *layers(4, "attn.q_proj.weight"), *ENDS)
    found = [rule.write for rule in family.rules if rule.name == key]
    assert found == ([kind] if kind else [])


@pytest.mark.parametrize(
    ("config", "names", "message"),
    [
        pytest.param(
            {"num_hidden_layers": 6, "num_hidden_groups": 1},
            layers(1, "albert_layers.0.ffn.weight", prefix="albert.encoder.albert_layer_groups."),
            "share the tensors of 1 groups",
            id="shared layers",
        ),
        pytest.param(
            {"n_layers": 2},
            [
                *layers(2, "q_lin.weight", prefix="transformer.attentions."),
                *layers(2, "lin1.weight", prefix="transformer.ffns."),
            ],
            "in several lists of modules: 'transformer.attentions",
            id="spread layers",
        ),
        pytest.param(
            {"model_type": "luke", "num_hidden_layers": 2}, layers(2, "a.weight"), "cannot be stacked", id="named"
        ),
    ],
)
def test_layers_that_are_no_units(config: dict[str, Any], names: list[str], message: str) -> None:
    """Layers that share tensors, or whose tensors are not together, are refused."""
    with pytest.raises(DonorError, match=message):
        infer(config, *names)


BERT = [
    "bert.embeddings.word_embeddings.weight",
    *layers(2, "attention.output.dense.weight", prefix="bert.encoder.layer."),
    "cls.predictions.bias",
]


def test_heads_of_encoders_are_tied_by_their_names() -> None:
    """The tied tensors of a masked-language-model head are named after the other tensors of the head."""
    embed = "bert.embeddings.word_embeddings.weight"
    assert infer({"num_hidden_layers": 2}, *BERT).tied == (
        ("cls.predictions.decoder.weight", embed),
        ("cls.predictions.decoder.bias", "cls.predictions.bias"),
    )


@pytest.mark.parametrize(
    ("config", "more"),
    [({"architectures": ["BertModel"]}, []), ({}, ["bert.pooler.dense.weight"])],
    ids=["by its class", "by its pooler"],
)
def test_encoders_without_a_head_have_no_ties(config: dict[str, Any], more: list[str]) -> None:
    """A base model has no head that is tied to the embedding."""
    assert infer({"num_hidden_layers": 2, **config}, *BERT[:-1], *more).tied == ()


@pytest.mark.parametrize(
    ("suffixes", "roles"),
    [
        (("mlp.w1.weight", "mlp.w2.weight", "mlp.c_proj.weight"), ("mlp.up", "mlp.gate", "mlp.down")),
        (("mlp.w1.weight", "mlp.w2.weight", "mlp.w3.weight"), ("mlp.gate", "mlp.down", "mlp.up")),
        (("mlp.w1.weight", "mlp.v1.weight", "mlp.w2.weight"), ("mlp.gate", "mlp.up", "mlp.down")),
        (("mlp.w1.weight", "mlp.w2.weight"), ("mlp.up", "mlp.down")),
    ],
    ids=["Qwen v1", "three", "DBRX", "two"],
)
def test_roles_by_the_tensors_beside(suffixes: tuple[str, ...], roles: tuple[str, ...]) -> None:
    """What `w1` and `w2` are depends on the other matrices of the layer."""
    config: dict[str, Any] = {"num_hidden_layers": 2, "model_type": "new"}
    names = layers(2, *suffixes)
    placed = place_tensors(infer(config, *names), config, specs(*names))
    assert tuple(placed[f"model.layers.1.{suffix}"].role for suffix in suffixes) == roles


@pytest.mark.parametrize(
    "config",
    [
        {"layer_group_size": 2},
        {"sliding_window_pattern": 2},
        {"linear_attn_config": {"full_attn_layers": [2, 4], "kda_layers": [1, 3]}},
        {"hybrid_override_pattern": "M*M*"},
        {"decoder_sparse_step": 2, "num_experts": 2},
    ],
    ids=lambda config: next(iter(config)),
)
def test_stated_entries_are_not_translated(config: dict[str, Any]) -> None:
    """Nothing says that an unknown family reads a list in place of the entry that it has, so layers keep their kind."""
    family = infer({"num_hidden_layers": 4, **config}, *layers(4, "a.weight"))
    (rule,) = [rule for rule in family.rules if rule.write is not WriteKind.CONSTANT]
    assert (rule.write, rule.key, rule.drop, rule.put) == (WriteKind.POSITION, "", (), ())
    assert f"'{next(iter(config))}'" in rule.reason


def test_a_known_translation_is_written() -> None:
    """A family whose config states the list itself has it written anew."""
    config = {"num_hidden_layers": 4, "layer_types": ["a", "b", "a", "b"], "sliding_window_pattern": 2}
    (rule,) = infer(config, *layers(4, "a.weight")).rules
    assert (rule.write, rule.key) == (WriteKind.LIST, "layer_types")


def test_a_layer_s_entry_may_be_null() -> None:
    """A list with an entry for each layer is followed if some of the entries are null."""
    config = {"num_hidden_layers": 4, "windows": [None, 8, None, 16]}
    (rule,) = infer(config, *layers(4, "a.weight")).rules
    assert [read_layer_value(rule, config, index) for index in range(4)] == config["windows"]


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("model.resid_lambdas", (4,)),
        ("model.layer_embedding.weight", (4, 8)),
        ("model.value_embeds.3.weight", (32, 8)),
    ],
)
def test_a_tensor_with_a_part_for_each_layer_holds_the_layers(name: str, shape: tuple[int, ...]) -> None:
    """If nothing says which part of a tensor belongs to which layer, all layers of a donor stay together, in order."""
    config: dict[str, Json] = {"model_type": "new", "num_hidden_layers": 4}
    tensors = {each: TensorSpec(each, Dtype.BF16, (8, 8)) for each in (*layers(4, "a.weight"), *ENDS)}
    family = infer_architecture(config, tensors | {name: TensorSpec(name, Dtype.BF16, shape)})
    (rule,) = family.rules
    assert rule.write is WriteKind.WHOLE
    assert name in rule.reason
    assert all(read_layer_value(rule, {}, index) for index in range(4))


@pytest.mark.parametrize(
    ("name", "shape"), [("classifier.weight", (4, 8)), ("skip_weights", (2,)), ("x.1.weight", (8,))]
)
def test_other_tensors_outside_the_layers_do_not(name: str, shape: tuple[int, ...]) -> None:
    """A classifier of as many labels as layers, and modules numbered otherwise, leave the layers free."""
    tensors = {each: TensorSpec(each, Dtype.BF16, (8, 8)) for each in (*layers(4, "a.weight"), *ENDS)}
    config: dict[str, Json] = {"model_type": "new", "num_hidden_layers": 4}
    assert infer_architecture(config, tensors | {name: TensorSpec(name, Dtype.BF16, shape)}).rules == ()


@pytest.mark.parametrize(
    "head", ["transformer.output_layer.weight", "model.transformer.ff_out.weight", "unusual.weight"]
)
def test_a_head_is_found_by_its_shape(head: str) -> None:
    """A matrix of the embedding's shape behind the layers is the head, so that no other head is made up."""
    tensors = specs(*layers(4, "a.weight"), "transformer.word_embeddings.weight", head)
    family = infer_architecture({"model_type": "new", "num_hidden_layers": 4}, tensors)
    assert family.tied == ((head, "transformer.word_embeddings.weight"),)


def test_chatglm_keeps_its_depth() -> None:
    """The first ChatGLM scales its residual stream by its depth; later ones of the same model type do not."""
    first = {"num_hidden_layers": 4, "model_type": "chatglm", "position_encoding_2d": True}
    assert [rule.name for rule in infer(first, *layers(4, "a.weight")).rules] == ["residual_scale"]
    assert infer(first | {"position_encoding_2d": False}, *layers(4, "a.weight")).rules == ()
