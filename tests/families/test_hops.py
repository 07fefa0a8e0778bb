"""Hops of every family that allows them equal hooks that multiply what enters the layers in transformers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from stacker.compose import Stack
from stacker.compose import load as load_stack
from stacker.errors import select_errors
from tests.families.cases import Case, Config
from tests.families.oracle import layers_of, load, logits_of, write_donor
from tests.families.tiny import decoder_families, tiny_case
from tests.families.wrappers import wrapper_case, wrapper_families

VARIANTS: dict[str, tuple[str, Config]] = {
    "llama, biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "falcon, sequential": ("falcon", {"parallel_attn": False, "bias": True}),
    "falcon, two norms": ("falcon", {"new_decoder_architecture": True, "num_ln_in_parallel_attn": 2}),
    "gpt_neox, sequential": ("gpt_neox", {"use_parallel_residual": False}),
    "stablelm, parallel": ("stablelm", {"use_parallel_residual": True}),
    "cohere, norms of queries": ("cohere", {"use_qk_norm": True}),
    "doge, experts": ("doge", {"is_moe": True, "num_experts": 16, "num_experts_per_tok": 2}),
    "gemma4_text, plain": ("gemma4_text", {"hidden_size_per_layer_input": 0}),
    "gemma4_text, experts": (
        "gemma4_text",
        {
            "hidden_size_per_layer_input": 0,
            "enable_moe_block": True,
            "num_experts": 4,
            "top_k_experts": 2,
            "moe_intermediate_size": 24,
        },
    ),
    "nemotron_h, latent experts": ("nemotron_h", {"moe_latent_size": 16, "mlp_bias": True}),
    "olmo2, biases": ("olmo2", {"attention_bias": True}),
    "opt, norms after": ("opt", {"do_layer_norm_before": False}),
    "bloom, residual of the norm": ("bloom", {"apply_residual_connection_post_layernorm": True}),
}
"""Configs that change where a family's layers read the residual stream or write to it."""
CASES: dict[str, Case] = {
    **{name: tiny_case(name) for name in decoder_families()},
    **{f"{name}, wrapper": wrapper_case(name) for name in wrapper_families()},
    **{name: replace(tiny_case(kind), config=tiny_case(kind).config | more) for name, (kind, more) in VARIANTS.items()},
}
EPSILONS = ("eps", "epsilon", "variance_epsilon", "norm_eps", "layer_norm_epsilon", "rms_norm_eps")
HOPS: dict[str, dict[int, float]] = {
    "inside": {2: 0.7, 3: 0.8, 5: 1.9},
    "from the first layer": {0: 0.6, 1: 1.25, 4: 0.5},
}
"""The factors by layer; together the stacks have one before each layer."""
TOLERANCE = 1e-3
"""The largest difference allowed, as a share of the largest logit; a layer that is not folded makes 1e-2 and more."""
REFUSED: dict[str, str] = {
    **dict.fromkeys(("gemma3n_text", "gemma3n, wrapper"), "mix several residual streams"),
    **dict.fromkeys(("gemma4_text", "gemma4, wrapper"), "to gate an embedding of their own"),
    **dict.fromkeys(("zamba", "zamba2"), "side by side with the embeddings"),
    "minimax": "continues from its norm",
    **dict.fromkeys(("openai-gpt", "opt, norms after"), "a norm of the residual stream itself"),
    "bloom, residual of the norm": "continues from the norms",
}
"""The reasons of described families that refuse hops."""
PICTURED = {"qwen3_vl, wrapper": 2, "cohere_compass, wrapper": 3}
"""Wrappers that add image features to the residual stream, and after how many of the first layers."""


@contextmanager
def hooked(layers: torch.nn.ModuleList, hops: Mapping[int, float]) -> Iterator[None]:
    """Multiply the hidden states that enter the layers by the factors in `hops`."""

    def multiply(factor: float) -> Any:
        def before(_: torch.nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
            if args:
                return (args[0] * factor, *args[1:]), named
            return args, named | {"hidden_states": named["hidden_states"] * factor}

        return before

    handles = [layers[at].register_forward_pre_hook(multiply(hop), with_kwargs=True) for at, hop in hops.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def without_epsilon(model: PreTrainedModel) -> PreTrainedModel:
    """The model with norms that add next to nothing, since a hop is exact up to the norms' epsilon."""
    for module in model.modules():
        own: dict[str, Any] = vars(module)
        own.update({name: 1e-12 for name in EPSILONS if isinstance(own.get(name), float)})
    return model


def stack_of(home: Path, hops: Mapping[int, float]) -> Stack:
    """A stack of all layers of donor `a`, with the hops."""
    items = [{"slice": f"a[{layer}]", "hop": hops.get(layer, 1)} for layer in range(6)]
    path = home / "spec.yml"
    path.write_text(f"stacker: 1\nname: test\ndonors: {{a: ./a}}\nstack: {json.dumps(items)}\n")
    return load_stack(path)


def find_reason(name: str, hops: Mapping[int, float], *, inferred: bool) -> str:
    """The reason why a case has to be refused."""
    if inferred:
        return "no architecture file"
    return "image features" if min(hops) < PICTURED.get(name, 0) else REFUSED[name]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("hops", HOPS.values(), ids=HOPS)
@pytest.mark.parametrize("name", CASES)
def test_hops_equal_hooks(name: str, hops: dict[int, float], tmp_path: Path) -> None:
    """A family either computes what hooks compute, or refuses for a reason that is written in its file."""
    case = CASES[name]
    donor = write_donor(case, tmp_path / "a", 0)
    stack = stack_of(tmp_path, hops)
    errors = [problem.message for problem in select_errors(stack.problems)]
    if errors:
        assert find_reason(name, hops, inferred=stack.donors["a"].architecture.inferred) in " ".join(errors)
        return
    assert name not in REFUSED
    stack.build(tmp_path / "out")
    model, built = (without_epsilon(load(folder, case.auto)) for folder in (donor, tmp_path / "out"))
    plain = logits_of(model)
    with hooked(layers_of(model), hops):
        expected = logits_of(model)
    scale = expected.abs().max().item()
    difference, effect = ((logits - expected).abs().max().item() for logits in (logits_of(built), plain))
    assert difference < TOLERANCE * scale
    assert effect > 3 * TOLERANCE * scale


ITEMS: dict[str, tuple[str, str, dict[int, float]]] = {
    "blend": ("{blend: ['a[0:2]', 'b[0:2]'], op: linear, hop: 0.7}, 'b[2:6]'", "", {0: 0.7}),
    "crossfade": ("'a[0]', {crossfade: ['a[1:3]', 'b[2:4]'], over: 1, op: slerp, hop: 0.7}, 'b[4:6]'", "", {1: 0.7}),
    "repeat": ("'a[0:2]', {repeat: 'a[2:4]', times: 2, hop: 1.5, scale: {attn.o: 0.5}}", "", {2: 1.5, 4: 1.5}),
    "named": ("'a[0]', {use: tail, hop: 0.8}", "stacks: {tail: ['a[1]', {slice: 'b[2]', hop: 1.2}]}", {1: 0.8, 2: 1.2}),
    "factors": ("'a[0]', {slice: 'a[1]', hop: 0.5, scale: {mlp.down: 3}}", "", {1: 0.5}),
    "nested": ("'inner[0:3]', {slice: 'inner[2:4]', hop: 0.8}", "", {0: 0.7, 3: 0.8}),
}
"""Items of a stack over llamas `a` and `b` and a stack of four layers of `a`, and the layers that hops enter."""


@pytest.mark.slow
@pytest.mark.parametrize(("items", "more", "hops"), ITEMS.values(), ids=ITEMS)
def test_hops_of_every_item(items: str, more: str, hops: dict[int, float], tmp_path: Path) -> None:
    """The stack computes what the same stack without hops computes with hooks where the hops are."""
    for seed, name in enumerate("ab"):
        write_donor(tiny_case("llama"), tmp_path / name, seed)
    built = {}
    for name, strip in (("hops", ""), ("plain", r",? ?hop: [\d.]+")):
        for file, donors, stack in (
            ("inner.yml", "{a: ./a}", "{slice: 'a[0:4]', hop: 0.7}"),
            (f"{name}.yml", "{a: ./a, b: ./b, inner: {stack: inner.yml}}", items),
        ):
            text = f"stacker: 1\nname: test\ndonors: {donors}\nstack: [{stack}]\n{more if file != 'inner.yml' else ''}"
            (tmp_path / file).write_text(re.sub(strip, "", text) if strip else text)
        load_stack(tmp_path / f"{name}.yml").build(tmp_path / name)
        built[name] = without_epsilon(load(tmp_path / name))
    plain = logits_of(built["plain"])
    with hooked(built["plain"].model.layers, hops):
        expected = logits_of(built["plain"])
    torch.testing.assert_close(logits_of(built["hops"]), expected, rtol=1e-5, atol=1e-5 * expected.abs().max().item())
    assert not torch.allclose(plain, expected, rtol=1e-3)
