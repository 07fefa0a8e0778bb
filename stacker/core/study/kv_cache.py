"""Estimates the size of a stack's KV cache from the bytes per token in each layer and the attention windows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stacker.arch.dimensions import collect_names
from stacker.arch.files.architecture import Config
from stacker.arch.files.roles import strip_role_suffixes
from stacker.core.stack.graph import StackGraph
from stacker.core.stack.nodes import Feed
from stacker.core.values.donor import Donor, DonorTensor
from stacker.formats.json_object import Json
from stacker.tensors import CONFIG_DTYPES

_KEY_VALUE_ROLES = {"attn.k", "attn.kv", "attn.qkv"}
_WINDOWS = {"sliding_attention": "sliding_window", "chunked_attention": "attention_chunk_size"}
"""Attention types that cache only the latest tokens, each with the config key that says how many tokens."""


@dataclass(frozen=True, slots=True)
class LayerCache:
    """The KV cache of one layer; `per_token` is its size in bytes for each token, or None if unknown.

    `window` is the most tokens that the layer caches, or None if there is no limit.
    """

    per_token: int | None
    window: int | None = None

    def nbytes(self, tokens: int) -> int:
        return (self.per_token or 0) * (min(tokens, self.window) if self.window else tokens)


@dataclass(frozen=True, slots=True)
class KvCache:
    """The KV caches of all layers, with notes for the user, for example on what is not counted."""

    layers: tuple[LayerCache, ...]
    notes: tuple[str, ...] = ()

    def nbytes(self, tokens: int) -> int | None:
        """The size in bytes for one sequence of `tokens` tokens; None if the cache of some layer is unknown."""
        if any(layer.per_token is None for layer in self.layers):
            return None
        return sum(layer.nbytes(tokens) for layer in self.layers)


def estimate_kv_cache(graph: StackGraph, donors: Mapping[str, Donor], config: Config) -> KvCache:
    """Estimate the KV cache of a stack with this `config`, in the element type that the config names.

    If the config names no type or a type narrower than 16 bits, 16 bits are assumed for each cached element.
    """
    names = collect_names(donors[graph.template].architecture, config)
    dtype = CONFIG_DTYPES.get(str(names.get("dtype") or names.get("torch_dtype")))
    width = 2 if dtype is None or dtype.bits < 16 else dtype.bits // 8
    tables = {name: donor.layers() for name, donor in donors.items()}
    states: dict[Feed, _LayerState] = {}
    layers = []
    for node in graph.layers:
        feed = Feed(node.feeds[0].donor, node.feeds[0].layer)
        if feed not in states:
            states[feed] = _find_layer_state(donors[feed.donor], tables[feed.donor][feed.layer or 0])
        elements = states[feed].elements
        window = _window_of(names, node.index)
        layers.append(LayerCache(None if elements is None else elements * width, window))
    used = [states[Feed(node.feeds[0].donor, node.feeds[0].layer)] for node in graph.layers]
    return KvCache(tuple(layers), (*_notes(used), *_window_notes(layers)))


@dataclass(frozen=True, slots=True)
class _LayerState:
    """What a layer caches; `elements` is how many elements it caches for each token, or None if unknown.

    `latent` is True if the layer caches latents instead of keys and values, and `stateful` if it keeps a state of fixed
    size instead of a cache.
    """

    elements: int | None
    latent: bool = False
    stateful: bool = False


def _find_layer_state(donor: Donor, table: Mapping[str, DonorTensor]) -> _LayerState:
    roles = {strip_role_suffixes(tensor.role): tensor for tensor in table.values() if not tensor.role.endswith(".bias")}
    names = collect_names(donor.architecture, donor.config)
    if "attn.kv_a" in roles:
        sizes = [size for key in ("kv_lora_rank", "qk_rope_head_dim") if isinstance(size := names.get(key), int)]
        return _LayerState(sum(sizes) if len(sizes) == 2 else None, latent=True)
    if not _KEY_VALUE_ROLES & roles.keys():
        attends = any(role.startswith("attn.") for role in roles)
        return _LayerState(None if attends else 0, stateful=not attends)
    return _LayerState(_count_keys_and_values(names, roles))


def _count_keys_and_values(names: Mapping[str, Any], roles: Mapping[str, DonorTensor]) -> int | None:
    """How many elements of keys and values a layer caches per token; None if unknown.

    The number comes from the config's dimensions or, if the config lacks them, from the shapes of the key and value
    projections.
    """
    heads = names.get("kv_heads") or names.get("num_key_value_heads") or names.get("heads")
    hidden = names.get("hidden")
    queries = names.get("heads") or names.get("num_attention_heads")
    size = names.get("head_dim") or (hidden // queries if hidden and queries else None)
    if isinstance(heads, int) and isinstance(size, int):
        return 2 * heads * size
    rows = [roles[role].spec.shape for role in ("attn.k", "attn.v") if role in roles]
    return sum(shape[0] for shape in rows) if len(rows) == 2 else None


def _window_of(names: Mapping[str, Any], index: int) -> int | None:
    """The attention window of layer `index` in tokens; None for full attention."""
    types: Json = names.get("layer_types")
    if isinstance(types, list) and index < len(types):
        value = names.get(_WINDOWS.get(str(types[index]), ""))
    else:
        value = names.get("sliding_window") if names.get("use_sliding_window") is not False else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _notes(states: list[_LayerState]) -> Iterator[str]:
    stateful = sum(state.stateful for state in states)
    if any(state.latent for state in states):
        yield "latent attention: counted for programs that cache the latents"
    if stateful:
        yield f"{stateful} of {len(states)} layers keep a state of fixed size instead, not counted"


def _window_notes(layers: list[LayerCache]) -> Iterator[str]:
    for window, count in Counter(layer.window for layer in layers).items():
        if window:
            which = "all" if count == len(layers) else f"{count} of {len(layers)}"
            yield f"{which} layers keep at most {window} tokens"
