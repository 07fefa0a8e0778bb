"""What a spec of tests/e2e/random_stacks.py means, computed the slow way: whole tensors in fp64, no code of stacker."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from tests.ops.references import arc

_SLICE = re.compile(r"(\w+)\[(\d+):(\d+)\]")
_ROLES = {
    "input_layernorm": "norm.input", "self_attn.q_proj": "attn.q", "self_attn.k_proj": "attn.k",
    "self_attn.v_proj": "attn.v", "self_attn.o_proj": "attn.o", "post_attention_layernorm": "norm.pre_mlp",
    "mlp.gate_proj": "mlp.gate", "mlp.up_proj": "mlp.up", "mlp.down_proj": "mlp.down",
    "embed": "embed", "norm": "norm.final", "head": "head",
}  # fmt: skip
_WRITERS = ("attn.o", "mlp.down")
_OUTSIDE = {"embed": "model.embed_tokens.weight", "norm": "model.norm.weight", "head": "lm_head.weight"}
_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


@dataclass(frozen=True)
class Value:
    """A tensor: its values in fp64, the type it has in the result, and whether no arithmetic was done."""

    data: torch.Tensor
    dtype: torch.dtype
    exact: bool = True

    def times(self, factor: float) -> Value:
        return self if factor == 1 else replace(self, data=self.data * factor, exact=False)


Layer = dict[str, Value]
Entered = Iterator[tuple[float, Layer]]
"""Layers, each with the hop before it."""


@dataclass(frozen=True)
class Model:
    """Layers, and the embedding, final norm and head."""

    layers: list[Layer]
    outside: Layer


def compute(folder: Path, spec: Mapping[str, Any]) -> Model:
    """The model of a spec, before its output type is applied."""
    donors = {
        name: compute(folder, source) if isinstance(source, dict) else read(folder / source)
        for name, source in spec["donors"].items()
    }
    layers, product = [], 1.0
    for hop, layer in _expand(spec["stack"], spec, donors):
        product *= hop
        writers = {name: value.times(1 / product) for name, value in layer.items() if _ROLES[name] in _WRITERS}
        layers.append(layer | writers)
    embed, head = (_compute_outside(spec[part], donors) for part in ("embed", "head"))
    return Model(layers, {"embed": embed["embed"], "norm": head["norm"], "head": head["head"]})


def read(folder: Path) -> Model:
    """A donor's tensors in fp64."""
    tensors = {name: tensor for path in folder.glob("*.safetensors") for name, tensor in load_file(path).items()}
    values = {name: Value(tensor.double(), tensor.dtype) for name, tensor in tensors.items()}
    depth = 1 + max(int(name.split(".")[2]) for name in values if name.startswith("model.layers."))
    layers = [
        {each: values[f"model.layers.{layer}.{each}.weight"] for each in list(_ROLES)[:9]} for layer in range(depth)
    ]
    return Model(layers, {part: values[name] for part, name in _OUTSIDE.items()})


def _compute_outside(part: Any, donors: Mapping[str, Model]) -> Layer:
    if isinstance(part, str):
        return donors[part].outside
    return _blend([donors[name].outside for name in part["blend"]], [1.0] * len(part["blend"]))


def _blend(layers: Sequence[Layer], weights: Sequence[float]) -> Layer:
    return {name: _combine("linear", [layer[name] for layer in layers], weights, None) for name in layers[0]}


def _expand(items: Sequence[Any], spec: Mapping[str, Any], donors: Mapping[str, Model]) -> Entered:
    """Yield each layer of some items with the hop before it."""
    for item in items:
        layers = list(_expand_item(item, spec, donors))
        hop = item.get("hop", 1.0) if isinstance(item, dict) and "repeat" not in item else 1.0
        yield layers[0][0] * hop, layers[0][1]
        yield from layers[1:]


def _expand_item(item: Any, spec: Mapping[str, Any], donors: Mapping[str, Model]) -> Entered:
    if isinstance(item, str):
        yield from ((1.0, layer) for layer in _cut(item, donors))
    elif "slice" in item:
        layers = _cut(item["slice"], donors)
        yield from ((1.0, _scale(layer, item["scale"], place, len(layers))) for place, layer in enumerate(layers))
    elif "blend" in item:
        yield from ((1.0, layer) for layer in _expand_blend(item, donors))
    elif "crossfade" in item:
        yield from ((1.0, layer) for layer in _expand_crossfade(item, donors))
    elif "use" in item:
        yield from _expand(spec["stacks"][item["use"]], spec, donors)
    else:
        yield from _expand_repeat(item, spec, donors)


def _cut(text: str, donors: Mapping[str, Model]) -> list[Layer]:
    match = _SLICE.fullmatch(text)
    assert match
    return donors[match[1]].layers[int(match[2]) : int(match[3])]


def _expand_blend(item: Mapping[str, Any], donors: Mapping[str, Model]) -> Iterator[Layer]:
    sources = [each if isinstance(each, dict) else {"slice": each} for each in item["blend"]]
    runs = [_cut(source["slice"], donors) for source in sources]
    base = _cut(item["base"], donors) if "base" in item else None
    count = len(runs[0])
    for place in range(count):
        layer = {}
        for name in runs[0][place]:
            values = [run[place][name] for run in runs]
            weights = [_find([source.get("weight"), item.get("weight")], name, place, count) for source in sources]
            if item["op"] == "slerp":
                weights = [_find([item["t"]], name, place, count)]
            layer[name] = _combine(item["op"], values, weights, base[place][name] if base else None)
        yield layer


def _expand_crossfade(item: Mapping[str, Any], donors: Mapping[str, Model]) -> Iterator[Layer]:
    left, right = (_cut(text, donors) for text in item["crossfade"])
    over = item["over"]
    yield from left[:-over]
    for place in range(over):
        share = (place + 1) / (over + 1)
        pair = left[len(left) - over + place], right[place]
        weights = [share] if item["op"] == "slerp" else [1 - share, share]
        yield {name: _combine(item["op"], [layer[name] for layer in pair], weights, None) for name in pair[0]}
    yield from right[over:]


def _expand_repeat(item: Mapping[str, Any], spec: Mapping[str, Any], donors: Mapping[str, Model]) -> Entered:
    once = list(_expand(item["repeat"], spec, donors))
    for copy in range(item["times"]):
        for place, (hop, layer) in enumerate(once):
            hop = hop * item.get("hop", 1.0) if place == 0 else hop
            yield hop, _scale(layer, item["scale"], place, len(once)) if copy else layer


def _scale(layer: Layer, scale: Mapping[str, Any], place: int, count: int) -> Layer:
    return {name: value.times(_find([scale], name, place, count)) for name, value in layer.items()}


def _find(places: Sequence[Any], name: str, place: int, count: int) -> float:
    """The value of a parameter for a tensor: from the first place that has one for its role, else 1."""
    role = _ROLES[name]
    for given in places:
        if given is None:
            continue
        rules = given if isinstance(given, dict) else {"default": given}
        keys = [key for key in rules if key != "default" and (role == key or role.startswith(f"{key}."))]
        key = next(iter([*keys, *(["default"] if "default" in rules else [])]), None)
        if key is not None:
            return _interpolate(rules[key], place, count)
    return 1.0


def _interpolate(value: Any, place: int, count: int) -> float:
    if not isinstance(value, list):
        return float(value)
    at = place / (count - 1) if count > 1 else 1.0
    return float(np.interp(at, np.linspace(0, 1, len(value)), value))


def _combine(op: str, values: Sequence[Value], weights: Sequence[float], base: Value | None) -> Value:
    data = [value.data for value in values]
    if op == "slerp":
        result = arc(data[0].flatten(), data[1].flatten(), weights[0]).reshape(data[0].shape)
    elif base is None:
        result = sum((w * x for w, x in zip(weights, data, strict=True)), torch.zeros(())) / sum(weights)
    else:
        result = base.data + sum((w * (x - base.data) for w, x in zip(weights, data, strict=True)), torch.zeros(()))
    return Value(result, values[0].dtype, exact=False)


def find_differences(folder: Path, spec: Mapping[str, Any], out: Path) -> list[str]:
    """The names of tensors in `out` that are not what the spec means.

    Tensors without arithmetic must be equal to the bit. Others may differ by one rounding to the result's type, and by
    what computing in fp32 loses against the tensor's largest element.
    """
    model = compute(folder, spec)
    expected = {_OUTSIDE[part]: value for part, value in model.outside.items()}
    for number, layer in enumerate(model.layers):
        expected |= {f"model.layers.{number}.{name}.weight": value for name, value in layer.items()}
    found = {name: tensor for path in out.glob("*.safetensors") for name, tensor in load_file(path).items()}
    wrong = sorted(expected.keys() ^ found.keys())
    dtype = _DTYPES.get(spec.get("output", {}).get("dtype"))
    return wrong + [
        name for name in expected.keys() & found.keys() if not _is_right(expected[name], found[name], dtype)
    ]


def _is_right(expected: Value, found: torch.Tensor, dtype: torch.dtype | None) -> bool:
    wanted = expected.data.to(dtype or expected.dtype)
    if wanted.dtype != found.dtype or wanted.shape != found.shape:
        return False
    if expected.exact:
        return torch.equal(wanted, found)
    info, exact = torch.finfo(found.dtype), expected.data
    noise = 8 * torch.finfo(torch.float32).eps * float(exact.abs().max()) + info.smallest_normal * info.eps
    return torch.allclose(exact, found.double(), rtol=info.eps / 2, atol=noise)
