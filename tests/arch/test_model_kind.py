"""Kinds of models: encoder-decoders are refused, heads are found by class names."""

from __future__ import annotations

from typing import Any

import pytest

from stacker.arch.model_kind import lacks_head, refuse_encoder_decoder, states_headless
from stacker.errors import DonorError

T5: dict[str, Any] = {"model_type": "t5", "is_encoder_decoder": True}


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(T5, id="said"),
        pytest.param({"model_type": "bart", "encoder_layers": 6, "decoder_layers": 6}, id="two depths"),
        pytest.param(
            {"model_type": "prophetnet", "num_encoder_layers": 2, "num_decoder_layers": 2}, id="as ProphetNet"
        ),
        pytest.param({"model_type": "t5", "num_layers": 6, "num_decoder_layers": 6}, id="as T5"),
        pytest.param(
            {"model_type": "t5gemma", "encoder": {"model_type": "x"}, "decoder": {"model_type": "y"}}, id="two configs"
        ),
        pytest.param({"model_type": "florence2", "text_config": T5}, id="in a wrapper"),
    ],
)
def test_encoder_decoders_are_refused_by_name(config: dict[str, Any]) -> None:
    """The config says that there are two towers, whichever words it has for them."""
    with pytest.raises(DonorError, match="is an encoder-decoder"):
        refuse_encoder_decoder(config)


def test_encoder_decoders_are_refused_by_their_tensors() -> None:
    """A decoder that attends to an encoder is seen without any word in the config."""
    names = ["model.encoder.layers.0.fc1.weight", "model.decoder.layers.0.encoder_attn.k_proj.weight"]
    with pytest.raises(DonorError, match="'new' is an encoder-decoder"):
        refuse_encoder_decoder({"model_type": "new"}, names)


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({"model_type": "llama", "is_encoder_decoder": False, "num_hidden_layers": 2}, id="a decoder"),
        pytest.param(
            {"model_type": "ultravox", "text_config": {}, "audio_config": T5}, id="a tower of an encoder-decoder"
        ),
    ],
)
def test_others_are_not_refused(config: dict[str, Any]) -> None:
    """Decoders, and wrappers that use the encoder of such a model as a tower, can be stacked."""
    refuse_encoder_decoder(config, ["model.layers.0.self_attn.q_proj.weight"])


@pytest.mark.parametrize(
    ("name", "headless"),
    [
        ("LlamaForCausalLM", False),
        ("GPT2LMHeadModel", False),
        ("GPT2DoubleHeadsModel", False),
        ("BertForMaskedLM", False),
        ("JinaEmbeddingsV3ForMaskedLM", False),
        ("LlavaForConditionalGeneration", False),
        ("MistralModel", True),
        ("Qwen2ForSequenceClassification", True),
        ("Qwen2ForRewardModel", True),
        ("LlamaForRewardModelWithGating", True),
        ("BertForTokenClassification", True),
        ("RobertaForQuestionAnswering", True),
    ],
)
def test_classes_say_whether_there_is_a_head(name: str, headless: bool) -> None:
    """Base models, classifiers and reward models have no output projection to the vocabulary."""
    assert states_headless({"architectures": [name]}) is headless


def test_a_pooler_says_so_where_no_class_is_named() -> None:
    """Without a class, an encoder with a pooler and no known head has none."""
    assert states_headless({}) is None
    assert lacks_head({}, ["pooler.dense.weight"])
    assert not lacks_head({}, ["pooler.dense.weight", "cls.predictions.bias"])
