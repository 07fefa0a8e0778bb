"""How much memory a stack keeps per token while it writes: keys and values of each layer, windows counted."""

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

_HELD = {"attn.k", "attn.kv", "attn.qkv"}
_WINDOWS = {"sliding_attention": "sliding_window", "chunked_attention": "attention_chunk_size"}
"""Kinds of layers that keep only the last tokens, with the config entry that says how many."""


@dataclass(frozen=True, slots=True)
class LayerCache:
    """What one layer keeps: bytes per token, None where not known; of the last `window` tokens where that is set."""

    per_token: int | None
    window: int | None = None

    def nbytes(self, tokens: int) -> int:
        return (self.per_token or 0) * (min(tokens, self.window) if self.window else tokens)


@dataclass(frozen=True, slots=True)
class KvCache:
    """The caches of all layers, and what the figure leaves out."""

    layers: tuple[LayerCache, ...]
    notes: tuple[str, ...] = ()

    def nbytes(self, tokens: int) -> int | None:
        """Bytes for one sequence of so many tokens; None when a layer's are not known."""
        if any(layer.per_token is None for layer in self.layers):
            return None
        return sum(layer.nbytes(tokens) for layer in self.layers)


def kv_cache(graph: StackGraph, donors: Mapping[str, Donor], config: Config) -> KvCache:
    """The cache of a stack that runs with this config, in the config's element type (16 bits where it has none)."""
    names = collect_names(donors[graph.template].architecture, config)
    dtype = CONFIG_DTYPES.get(str(names.get("dtype") or names.get("torch_dtype")))
    width = 2 if dtype is None or dtype.bits < 16 else dtype.bits // 8
    tables = {name: donor.layers() for name, donor in donors.items()}
    kinds: dict[Feed, _Kind] = {}
    layers = []
    for node in graph.layers:
        feed = Feed(node.feeds[0].donor, node.feeds[0].layer)
        if feed not in kinds:
            kinds[feed] = _kind_of(donors[feed.donor], tables[feed.donor][feed.layer or 0])
        elements = kinds[feed].elements
        window = _window(names, node.index)
        layers.append(LayerCache(None if elements is None else elements * width, window))
    used = [kinds[Feed(node.feeds[0].donor, node.feeds[0].layer)] for node in graph.layers]
    return KvCache(tuple(layers), (*_notes(used), *_window_notes(layers)))


@dataclass(frozen=True, slots=True)
class _Kind:
    """Numbers that a layer keeps for each token (None: not known), and what kind of mixer it has."""

    elements: int | None
    latent: bool = False
    stateful: bool = False


def _kind_of(donor: Donor, table: Mapping[str, DonorTensor]) -> _Kind:
    roles = {strip_role_suffixes(tensor.role): tensor for tensor in table.values() if not tensor.role.endswith(".bias")}
    names = collect_names(donor.architecture, donor.config)
    if "attn.kv_a" in roles:
        sizes = [size for key in ("kv_lora_rank", "qk_rope_head_dim") if isinstance(size := names.get(key), int)]
        return _Kind(sum(sizes) if len(sizes) == 2 else None, latent=True)
    if not _HELD & roles.keys():
        attends = any(role.startswith("attn.") for role in roles)
        return _Kind(None if attends else 0, stateful=not attends)
    return _Kind(_keys_and_values(names, roles))


def _keys_and_values(names: Mapping[str, Any], roles: Mapping[str, DonorTensor]) -> int | None:
    """Key and value numbers per token: from the config's dimensions, or else from the projections' own rows."""
    heads = names.get("kv_heads") or names.get("num_key_value_heads") or names.get("heads")
    hidden = names.get("hidden")
    queries = names.get("heads") or names.get("num_attention_heads")
    size = names.get("head_dim") or (hidden // queries if hidden and queries else None)
    if isinstance(heads, int) and isinstance(size, int):
        return 2 * heads * size
    rows = [roles[role].spec.shape for role in ("attn.k", "attn.v") if role in roles]
    return sum(shape[0] for shape in rows) if len(rows) == 2 else None


def _window(names: Mapping[str, Any], index: int) -> int | None:
    """How many tokens layer `index` keeps, where the config gives it a window."""
    kinds: Json = names.get("layer_types")
    if isinstance(kinds, list) and index < len(kinds):
        value = names.get(_WINDOWS.get(str(kinds[index]), ""))
    else:
        value = names.get("sliding_window") if names.get("use_sliding_window") is not False else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _notes(kinds: list[_Kind]) -> Iterator[str]:
    stateful = sum(kind.stateful for kind in kinds)
    if any(kind.latent for kind in kinds):
        yield "latent attention: as programs that keep the latents store it"
    if stateful:
        yield f"{stateful} of {len(kinds)} layers keep a state of fixed size instead, not counted"


def _window_notes(layers: list[LayerCache]) -> Iterator[str]:
    for window, count in Counter(layer.window for layer in layers).items():
        if window:
            which = "all" if count == len(layers) else f"{count} of {len(layers)}"
            yield f"{which} layers keep {window} tokens at the most"
