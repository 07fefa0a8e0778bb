"""Tells from a config and tensor names what kind of model a checkpoint is: encoder-decoder, with or without a head.

A head here is an output projection to the vocabulary; base models and classifiers have none.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from stacker.arch.conventions import name_tied_heads, read_conventions
from stacker.arch.files.architecture import Config
from stacker.errors import Blame, DonorError, Problem

_TOWER_DEPTHS = (
    {"encoder_layers", "decoder_layers"},
    {"num_encoder_layers", "num_decoder_layers"},
    {"encoder_num_hidden_layers", "decoder_num_hidden_layers"},
    {"num_layers", "num_decoder_layers"},
    {"encoder_layers", "num_decoder_layers"},
    {"num_encoder_layers", "decoder_layers"},
)
"""Pairs of config keys that state the depths of an encoder and of a decoder."""
_CROSS_ATTENTION = re.compile(
    r"(^|\.)decoder\..*(encoder_attn|EncDecAttention|cross_?attn|cross_?attention)", re.IGNORECASE
)
_HEADLESS = re.compile(
    r"(?<!LMHead)(?<!Heads)Model$"
    r"|For\w*(Classif|Reward|QuestionAnswering|MultipleChoice|Embedding|Retriev|Scor|Regress|Rank)"
)
"""Matches class names of models without an output projection to the vocabulary."""


def refuse_encoder_decoder(config: Config, names: Collection[str] = ()) -> None:
    """Raise DonorError if a config, or the tensor names, are those of a model with an encoder and a decoder.

    The language model's config inside a wrapper is examined too, but not those of vision or audio towers.
    """
    for own in _list_language_configs(config):
        kind = own.get("model_type") or config.get("model_type") or "unknown"
        if own.get("is_encoder_decoder") is True or _states_two_towers(own) or _shows_two_towers(names):
            message = (
                f"'{kind}' is an encoder-decoder: a stack of one part would leave the other without its counterpart"
            )
            hint = "take a donor that is a decoder (a causal language model) or an encoder alone"
            raise DonorError(Problem(message, hint, blame=Blame.DONOR))


def _list_language_configs(config: Config) -> Iterator[Config]:
    """Yield the config and, if it is a wrapper's, the nested configs of its language model."""
    yield config
    for scope in (*read_conventions().scopes, "thinker_config"):
        inner = config.get(scope)
        if isinstance(inner, Mapping):
            yield from _list_language_configs(inner)


def _states_two_towers(config: Config) -> bool:
    nested = [config.get(key) for key in ("encoder", "decoder")]
    return all(isinstance(each, Mapping) for each in nested) or any(pair <= config.keys() for pair in _TOWER_DEPTHS)


def _shows_two_towers(names: Collection[str]) -> bool:
    """Whether there are tensors of encoder layers, and of decoder layers that attend to the encoder."""
    encoder = any(re.search(r"(^|\.)encoder\.(layers?|block)\.\d", name) for name in names)
    return encoder and any(_CROSS_ATTENTION.search(name) for name in names)


def states_headless(config: Config) -> bool | None:
    """Whether the class in `architectures` has no head; None if the config names no class."""
    classes = config.get("architectures")
    if not isinstance(classes, list) or not classes or not isinstance(classes[0], str):
        return None
    return bool(_HEADLESS.search(classes[0]))


def lacks_head(config: Config, names: Collection[str]) -> bool:
    """Whether a donor with the tensors `names` has no head, neither of its own nor tied to the embedding.

    The class in `architectures` decides. If the config names none, a donor has no head if it has a pooler, as encoders
    have, and `name_tied_heads` knows no head for it.
    """
    stated = states_headless(config)
    if stated is None:
        pooled = any(re.search(r"(^|\.)pooler\.", name) for name in names)
        return pooled and not name_tied_heads(str(config.get("model_type")), names)
    return stated
