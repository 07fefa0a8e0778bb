"""Donors as quantisers publish them, whole pipeline: layers are moved with their scales, arithmetic is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from stacker.arch.families import find_architecture
from stacker.arch.placement import list_expected_tensors
from stacker.checkpoint import verify
from stacker.compose import Stack, load
from stacker.errors import SpecError, StackerError
from tests.donors import write_donor, write_llama
from tests.test_compose import tensors_in

LINEAR = [f"self_attn.{name}_proj" for name in "qkvo"] + [f"mlp.{name}_proj" for name in ("gate", "up", "down")]
Parts = Mapping[str, tuple[str, tuple[int, ...]]]
PARTS: dict[str, Parts] = {
    "bitsandbytes": {
        "weight": ("U8", (512, 1)),
        "weight.absmax": ("F32", (16,)),
        "weight.quant_map": ("F32", (16,)),
        "weight.quant_state.bitsandbytes__nf4": ("U8", (90,)),
    },
    "gptq": {
        "qweight": ("I32", (4, 32)),
        "qzeros": ("I32", (1, 4)),
        "scales": ("F16", (1, 32)),
        "g_idx": ("I32", (32,)),
    },
    "awq": {"qweight": ("I32", (32, 4)), "qzeros": ("I32", (1, 4)), "scales": ("F16", (1, 32))},
    "fp8": {"weight": ("F8_E4M3", (32, 32)), "weight_scale_inv": ("F32", (1, 1))},
    "compressed-tensors": {
        "weight_packed": ("I32", (32, 4)),
        "weight_scale": ("BF16", (32, 1)),
        "weight_shape": ("I64", (2,)),
    },
}
CONFIGS: dict[str, dict[str, Any]] = {
    "bitsandbytes": {"load_in_4bit": True, "llm_int8_skip_modules": ["lm_head", "model.layers.3.mlp"]},
    "gptq": {"bits": 4, "dynamic": {r"-:model\.layers\.3\.mlp.*": {}}},
    "awq": {"bits": 4, "modules_to_not_convert": ["model.layers.3.mlp"]},
    "fp8": {"weight_block_size": [128, 128], "modules_to_not_convert": ["model.layers.3.mlp", "lm_head"]},
    "compressed-tensors": {"config_groups": {"group_0": {"targets": ["Linear"]}}, "ignore": ["model.layers.3.mlp"]},
}


@pytest.fixture(params=PARTS)
def home(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A folder with two donors quantised in one of the ways."""
    kind = request.param
    drop = [f"model.layers.{layer}.{module}.weight" for layer in range(6) for module in LINEAR]
    extra = {
        f"model.layers.{layer}.{module}.{name}": tensor
        for layer in range(6)
        for module in LINEAR
        for name, tensor in PARTS[kind].items()
    }
    said = {"quant_method": kind, **CONFIGS[kind]}
    for seed, name in enumerate("ab"):
        write_llama(tmp_path / name, seed=seed, hidden=32, ffn=32, drop=drop, extra=extra, quantization_config=said)
    return tmp_path


def _stack(home: Path, rest: str) -> Stack:
    (home / "spec.yml").write_text(f"stacker: 1\ndonors: {{a: ./a, b: ./b}}\n{rest}\n")
    return load(home / "spec.yml")


def test_a_live_stack_is_refused_by_name(home: Path, request: pytest.FixtureRequest) -> None:
    """The message names the way of quantising, and says what to do instead."""
    with pytest.raises(SpecError, match=re.escape(request.node.callspec.params["home"])) as caught:
        _stack(home, "stack: ['a[0:4]', 'b[2:6]']").live_stack()
    assert "which a live stack cannot load yet" in str(caught.value)
    assert "build the stack" in str(caught.value)


def test_layers_move_with_their_scales(home: Path) -> None:
    """Every tensor of a layer is the donor's, and the config names the modules of layer 3 where it now stands."""
    _stack(home, "stack: ['a[0:4]', 'b[2:6]', 'a[3]']").build(home / "out")
    a, b, out = (tensors_in(home / name) for name in ("a", "b", "out"))
    places = [*((a, layer) for layer in range(4)), *((b, layer) for layer in range(2, 6)), (a, 3)]
    for place, (donor, layer) in enumerate(places):
        of_layer = f"model.layers.{layer}."
        theirs = {name.removeprefix(of_layer): data for name, data in donor.items() if name.startswith(of_layer)}
        assert theirs == {
            name.removeprefix(f"model.layers.{place}."): data
            for name, data in out.items()
            if name.startswith(f"model.layers.{place}.")
        }
    before, after = (json.loads((home / name / "config.json").read_text()) for name in ("a", "out"))
    said = json.dumps(after["quantization_config"])
    assert set(re.findall(r"layers\\*\.(\d+)", said)) == {"3", "5", "8"}
    assert after["quantization_config"].keys() == before["quantization_config"].keys()


@pytest.mark.parametrize(
    "rest",
    [
        "stack:\n - {blend: [a, b], op: linear}",
        "stack:\n - {crossfade: [a, b], over: 2, op: slerp}",
        "stack:\n - {slice: a, scale: 0.5}",
        "stack:\n - repeat: ['a[0:2]']\n   times: 2\n   scale: 0.5",
        "stack: [a]\nhead: {slice: a, scale: 2}",
        "stack: [a]\nembed: {blend: [a, b], op: linear}",
        "stack: [a]\noutput: {dtype: bfloat16}",
    ],
    ids=["blend", "crossfade", "scale", "repeat", "head", "embed", "dtype"],
)
def test_arithmetic_is_refused(home: Path, rest: str) -> None:
    """Whatever asks for it is told which donor is quantised and how, and what would work."""
    problems = [str(problem) for problem in _stack(home, rest).problems]
    assert any("'a' is quantised (" in problem and "hint" in problem for problem in problems)
    with pytest.raises(StackerError, match="quantised"):
        _stack(home, rest).plan()


def test_a_stack_of_quantised_layers_is_quantised(home: Path) -> None:
    """Nested in another stack, they are refused there as well."""
    (home / "inner.yml").write_text("stacker: 1\ndonors: {a: ./a}\nstack: [a]\n")
    (home / "outer.yml").write_text(
        "stacker: 1\ndonors: {a: {stack: inner.yml}, b: {stack: inner.yml}}\nstack:\n - {blend: [a, b], op: linear}\n"
    )
    assert any("'a' is quantised" in problem.message for problem in load(home / "outer.yml").problems)


def test_scales_without_a_config_are_seen(tmp_path: Path) -> None:
    """A checkpoint that says nothing of its block scales is not cast as if they were not there."""
    write_llama(tmp_path / "a", extra={"model.layers.0.mlp.up_proj.weight_scale_inv": ("F32", (1, 1))})
    (tmp_path / "spec.yml").write_text("stacker: 1\ndonors: {a: ./a}\nstack: [a]\noutput: {dtype: float16}\n")
    with pytest.raises(StackerError, match="block scales"):
        load(tmp_path / "spec.yml").plan()


def test_mxfp4_experts(tmp_path: Path) -> None:
    """gpt-oss publishes its experts as blocks of four bits with scales: they move together, and are not blended."""
    config: dict[str, Any] = {
        "architectures": ["GptOssForCausalLM"],
        "model_type": "gpt_oss",
        "hidden_size": 64,
        "intermediate_size": 32,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "num_hidden_layers": 4,
        "num_local_experts": 2,
        "vocab_size": 24,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "quantization_config": {
            "quant_method": "mxfp4",
            "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"],
        },
        "dtype": "bfloat16",
    }
    architecture = find_architecture(config)
    assert architecture is not None
    specs = {spec.name: (spec.dtype.label, spec.shape) for spec in list_expected_tensors(architecture, config)}
    for seed, name in enumerate("ab"):
        write_donor(tmp_path / name, config, specs, seed=seed)
    _stack(tmp_path, "stack: ['a[0:2]', 'b[2:4]', 'a[2:4]']").build(tmp_path / "out")
    out, a = tensors_in(tmp_path / "out"), tensors_in(tmp_path / "a")
    for part in ("blocks", "scales"):
        name = f"mlp.experts.gate_up_proj_{part}"
        assert out[f"model.layers.4.{name}"] == a[f"model.layers.2.{name}"]
    written = json.loads((tmp_path / "out" / "config.json").read_text())
    assert written["quantization_config"] == config["quantization_config"]
    (problem,) = _stack(tmp_path, "stack:\n - {blend: [a, b], op: mean}").problems
    assert "'a' is quantised (mxfp4)" in problem.message


def test_torchao_keeps_its_descriptions(tmp_path: Path) -> None:
    """The classes of torchao's weights, which only the headers of the files state, follow the layers."""
    names = [f"model.layers.{layer}.mlp.up_proj.weight" for layer in range(6)]
    kinds = ("_weight_qdata", "_weight_scale")
    parts = {name.replace("weight", kind): ("I8", (32, 32)) for name in names for kind in kinds}
    said = {"quant_method": "torchao"}
    write_llama(tmp_path / "a", hidden=32, ffn=32, drop=names, extra=parts, quantization_config=said)
    path = tmp_path / "a" / "model.safetensors"
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    plain = [name for name in header if "up_proj" not in name and name != "__metadata__"]
    header["__metadata__"] |= {name: f'{{"_type": "Int8Tensor", "n": {number}}}' for number, name in enumerate(names)}
    header["__metadata__"]["tensor_names"] = json.dumps([*plain, *names])
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
    (tmp_path / "spec.yml").write_text("stacker: 1\ndonors: {a: ./a}\nstack: ['a[0:2]', 'a[4:6]']\n")
    load(tmp_path / "spec.yml").build(tmp_path / "out")
    with safe_open(tmp_path / "out" / "model.safetensors", "np") as file:
        found, keys = file.metadata(), set(file.keys())
    stated = {name: json.loads(text)["n"] for name, text in found.items() if name.startswith("model.layers.")}
    assert stated == {f"model.layers.{layer}.mlp.up_proj.weight": old for layer, old in enumerate((0, 1, 4, 5))}
    whole = {name for name in keys if "up_proj" not in name} | stated.keys()
    assert set(json.loads(found["tensor_names"])) == whole
    assert verify(tmp_path / "out").problems == ()
