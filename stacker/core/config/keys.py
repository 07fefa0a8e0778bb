"""Sets of config.json keys, such as unsafe keys and keys that do not affect what a layer computes."""

from __future__ import annotations

from stacker.arch.files.architecture import Config
from stacker.formats.json_object import Json

UNSAFE_KEYS = frozenset({
    "attn_implementation", "auto_map", "custom_generate", "custom_pipelines", "experts_implementation", "kernel_config",
    "name_or_path", "transformers_weights", "trust_remote_code", "use_kernels",
})  # fmt: skip
"""Keys that make a program run code from the checkpoint or the hub, or read files outside the checkpoint."""

REPORTED_KEYS = frozenset(
    {"auto_map", "custom_generate", "custom_pipelines", "transformers_weights", "trust_remote_code"}
)
"""Unsafe keys that a checkpoint may need in order to load; their removal is therefore reported."""

DEPTH_KEYS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
"""Keys that may hold the number of layers, in addition to the key that the family uses for it."""

GEOMETRY_KEYS = frozenset({
    "head_dim", "hidden_size", "kv_lora_rank", "n_embd", "n_head", "num_attention_heads", "num_experts",
    "num_key_value_heads", "num_kv_heads", "num_local_experts", "q_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim",
    "v_head_dim",
})  # fmt: skip
"""Keys of sizes that must be equal in all donors of a stack; used for families that define no dimensions."""

_BOOKKEEPING = frozenset({
    "architectures", "bad_words_ids", "chunk_size_feed_forward", "cross_attention_hidden_size",
    "decoder_start_token_id",
    "diversity_penalty", "do_sample", "dtype", "early_stopping", "finetuning_task", "id2label", "initializer_range",
    "is_decoder", "is_encoder_decoder", "label2id", "length_penalty", "max_length", "min_length", "model_type", "name",
    "no_repeat_ngram_size", "num_beam_groups", "num_beams", "num_return_sequences", "output_attentions",
    "output_hidden_states", "output_router_logits", "output_scores", "prefix", "pretraining_tp", "problem_type",
    "quantization_config", "remove_invalid_values", "repetition_penalty", "return_dict", "return_dict_in_generate",
    "router_aux_loss_coef", "router_jitter_noise", "sep_token_id", "task_specific_params", "temperature", "text_config",
    "tf_legacy_loss", "tie_encoder_decoder", "tie_word_embeddings", "tokenizer_class", "top_k", "top_p", "torch_dtype",
    "torchscript", "transformers_version", "typical_p", "use_bfloat16", "use_cache", "vocab_size",
})  # fmt: skip
_BOOKKEEPING_ENDS = ("_dropout", "_pdrop", "_dropout_prob", "_token_id", "_token_ids", "_version", "_loss_coef")
_BOOKKEEPING_STARTS = ("_", "summary_")


def is_bookkeeping(key: str) -> bool:
    """Whether a key does not affect what a layer computes at inference."""
    return (
        key in _BOOKKEEPING
        or key in UNSAFE_KEYS
        or key.endswith(_BOOKKEEPING_ENDS)
        or key.startswith(_BOOKKEEPING_STARTS)
        or "dropout" in key
    )


def remove_unsafe_keys(config: Config) -> dict[str, Json]:
    """A deep copy of a config without unsafe keys and without keys that begin with an underscore.

    The key `__float__` is kept, because transformers writes infinity as {"__float__": "Infinity"}.
    """
    return {
        key: _cleaned_value(value)
        for key, value in config.items()
        if key not in UNSAFE_KEYS and (key[:1] != "_" or key == "__float__")
    }


def _cleaned_value(value: Json) -> Json:
    if isinstance(value, dict):
        return remove_unsafe_keys(value)
    return [_cleaned_value(item) for item in value] if isinstance(value, list) else value


def find_reported_keys(value: Json) -> frozenset[str]:
    """The unsafe keys at any depth of a config value whose removal is to be reported."""
    if isinstance(value, dict):
        return frozenset(REPORTED_KEYS & value.keys()).union(*(find_reported_keys(item) for item in value.values()))
    return frozenset().union(*(find_reported_keys(item) for item in value)) if isinstance(value, list) else frozenset()
