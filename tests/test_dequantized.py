"""Stacks of dequantised donors, whole pipeline: the numbers are those that other programs decode."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers.integrations.finegrained_fp8 import Fp8Dequantize
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

from stacker.arch.families import find_architecture
from stacker.arch.placement import list_expected_tensors
from stacker.compose import build, load
from stacker.errors import StackerError
from stacker.run.building import DEFAULTS, Listener
from tests.donors import write_llama

LINEAR = [f"self_attn.{name}_proj" for name in "qkvo"] + [f"mlp.{name}_proj" for name in ("gate", "up", "down")]
HIDDEN, FFN, DEPTH = 64, 96, 3
Tensors = dict[str, Tensor]
Make = Callable[[torch.Generator, int, int], tuple[Tensors, Tensor]]
"""Makes a random weight [rows, columns]: its stored tensors, by the ending of their names, and its bf16 numbers."""


def _random_bytes(source: torch.Generator, *shape: int) -> Tensor:
    return torch.randint(0, 256, shape, generator=source, dtype=torch.uint8)


def _random_words(source: torch.Generator, *shape: int) -> Tensor:
    return _random_bytes(source, *shape[:-1], shape[-1] * 4).view(torch.int32)


def _make_fp8(source: torch.Generator, rows: int, columns: int) -> Tensor:
    codes = _random_bytes(source, rows, columns)
    return torch.where(codes & 127 == 127, 0, codes).view(torch.float8_e4m3fn)


def _make_blocks(source: torch.Generator, rows: int, columns: int) -> tuple[Tensors, Tensor]:
    weight, scales = _make_fp8(source, rows, columns), torch.rand(rows // 16, columns // 32, generator=source)
    numbers = Fp8Dequantize(None)._dequantize_one(weight, scales, torch.bfloat16)
    return {"weight": weight, "weight_scale_inv": scales}, numbers


def _make_channels(source: torch.Generator, rows: int, columns: int) -> tuple[Tensors, Tensor]:
    weight = _make_fp8(source, rows, columns)
    scales = torch.rand(rows, 1, generator=source).bfloat16()
    numbers = (weight.double() * scales.double()).bfloat16()
    return {"weight": weight, "weight_scale": scales, "input_scale": torch.ones(1)}, numbers


def _make_integers(source: torch.Generator, rows: int, columns: int) -> tuple[Tensors, Tensor]:
    weight, scale = _random_bytes(source, rows, columns).view(torch.int8), torch.rand(1, generator=source)
    return {"weight": weight, "weight_scale": scale}, (weight.float() * scale).bfloat16()


def _make_int8(source: torch.Generator, rows: int, columns: int) -> tuple[Tensors, Tensor]:
    weight, largest = _random_bytes(source, rows, columns).view(torch.int8), torch.rand(rows, generator=source)
    numbers = (weight * largest[:, None] * 7.874015718698502e-3).bfloat16()
    return {"weight": weight, "SCB": largest, "weight_format": torch.zeros((), dtype=torch.uint8)}, numbers


def _make_fp4(source: torch.Generator, rows: int, columns: int, *, nested: bool = True) -> tuple[Tensors, Tensor]:
    """Random 4-bit numbers as bitsandbytes stores them, with blocks of 64, and its formula in fp32."""
    pairs, count = _random_bytes(source, rows * columns // 2, 1), rows * columns // 64
    table = torch.linspace(-1, 1, 16)
    state: dict[str, Any] = {"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [rows, columns]}
    stored = {"weight": pairs, "weight.quant_map": table}
    if nested:
        state |= {"nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": 0.125}
        codes, inner = _random_bytes(source, count), torch.rand(-(-count // 256), generator=source)
        own = torch.linspace(-1, 1, 256)
        stored |= {"weight.absmax": codes, "weight.nested_absmax": inner, "weight.nested_quant_map": own}
        largest = own[codes.long()] * inner.repeat_interleave(256)[:count] + 0.125
    else:
        largest = stored["weight.absmax"] = torch.rand(count, generator=source)
    text = torch.tensor(list(json.dumps(state).encode()), dtype=torch.uint8)
    numbers = table[torch.cat([pairs >> 4, pairs & 15], 1).reshape(-1).long()] * largest.repeat_interleave(64)
    return stored | {"weight.quant_state.bitsandbytes__nf4": text}, numbers.reshape(rows, columns).bfloat16()


def _make_plain_fp4(source: torch.Generator, rows: int, columns: int) -> tuple[Tensors, Tensor]:
    return _make_fp4(source, rows, columns, nested=False)


def _make_nvfp4(source: torch.Generator, rows: int, columns: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pairs of fp4, their fp8 scales, the scale of all, and the numbers of fp4 with the scales of each, in fp32."""
    pairs = _random_bytes(source, rows, columns // 2)
    scales = _make_fp8(source, rows, columns // 16).float().abs().to(torch.float8_e4m3fn)
    values = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6], dtype=torch.float32)
    codes = torch.stack([pairs & 15, pairs >> 4], -1).reshape(rows, columns).long()
    numbers = values[codes & 7] * torch.where(codes > 7, -1.0, 1.0)
    return pairs, scales, torch.rand(1, generator=source) + 0.5, numbers


def _make_packed_nvfp4(source: torch.Generator, rows: int, columns: int) -> tuple[Tensors, Tensor]:
    pairs, scales, whole, fp4 = _make_nvfp4(source, rows, columns)
    numbers = (fp4 * (scales.float() / whole).repeat_interleave(16, 1)).bfloat16()
    stored = {"weight_packed": pairs, "weight_scale": scales, "weight_global_scale": whole}
    return stored | {"input_global_scale": torch.ones(1)}, numbers


def _make_modelopt_nvfp4(source: torch.Generator, rows: int, columns: int) -> tuple[Tensors, Tensor]:
    pairs, scales, whole, fp4 = _make_nvfp4(source, rows, columns)
    numbers = (fp4 * (scales.float() * whole).repeat_interleave(16, 1)).bfloat16()
    stored = {"weight": pairs, "weight_scale": scales, "weight_scale_2": whole.reshape(())}
    return stored | {"input_scale": torch.ones(())}, numbers


def _unpack(words: Tensor, bits: int) -> Tensor:
    """The numbers in words, the lowest bits first, as a new last dimension."""
    shifts = torch.arange(0, 32, bits, dtype=torch.int32)
    return (words[..., None] >> shifts) & ((1 << bits) - 1)


def _make_gptq(
    source: torch.Generator, rows: int, columns: int, *, bits: int = 4, added: int = 1
) -> tuple[Tensors, Tensor]:
    count, groups = 32 // bits, columns // 32
    words, zeros = _random_words(source, columns // count, rows), _random_words(source, groups, rows // count)
    scales = torch.rand(groups, rows, generator=source).half()
    order = torch.randint(0, groups, (columns,), generator=source, dtype=torch.int32)
    q = _unpack(words, bits).permute(0, 2, 1).reshape(columns, rows)
    z = (_unpack(zeros, bits).reshape(groups, rows) + added) & ((1 << bits) - 1)
    numbers = (q - z[order]).double() * scales[order].double()
    return {"qweight": words, "qzeros": zeros, "scales": scales, "g_idx": order}, numbers.T.bfloat16()


def _make_gptq_v2(source: torch.Generator, rows: int, columns: int) -> tuple[Tensors, Tensor]:
    return _make_gptq(source, rows, columns, bits=8, added=0)


def _make_awq(source: torch.Generator, rows: int, columns: int) -> tuple[Tensors, Tensor]:
    groups, order = columns // 32, [0, 2, 4, 6, 1, 3, 5, 7]
    words, zeros = _random_words(source, columns, rows // 8), _random_words(source, groups, rows // 8)
    scales = torch.rand(groups, rows, generator=source).half()
    q, z = torch.empty(columns, rows // 8, 8), torch.empty(groups, rows // 8, 8)
    q[..., order], z[..., order] = _unpack(words, 4).float(), _unpack(zeros, 4).float()
    q, z = q.reshape(columns, rows), z.reshape(groups, rows)
    numbers = (q - z.repeat_interleave(32, 0)).double() * scales.repeat_interleave(32, 0).double()
    return {"qweight": words, "qzeros": zeros, "scales": scales}, numbers.T.bfloat16()


def _make_packed(source: torch.Generator, rows: int, columns: int) -> tuple[Tensors, Tensor]:
    words = _random_words(source, rows, columns // 8)
    scales = torch.rand(rows, columns // 32, generator=source).bfloat16()
    q = _unpack(words, 4).reshape(rows, columns) - 8
    numbers = (q.double() * scales.double().repeat_interleave(32, 1)).bfloat16()
    return {"weight_packed": words, "weight_scale": scales, "weight_shape": torch.tensor([rows, columns])}, numbers


PACKED = {"config_groups": {"group_0": {"targets": ["Linear"], "weights": {"num_bits": 4, "type": "int"}}}}
SCHEMES: dict[str, tuple[Make, dict[str, Any]]] = {
    "fp8 in blocks": (_make_blocks, {"quant_method": "fp8", "weight_block_size": [16, 32]}),
    "fp8 by channel": (_make_channels, {"quant_method": "compressed-tensors"}),
    "int8": (_make_integers, {"quant_method": "compressed-tensors"}),
    "int8 of bitsandbytes": (_make_int8, {"quant_method": "bitsandbytes", "load_in_8bit": True}),
    "nf4": (_make_fp4, {"quant_method": "bitsandbytes", "load_in_4bit": True}),
    "nf4 with plain magnitudes": (_make_plain_fp4, {"quant_method": "bitsandbytes", "load_in_4bit": True}),
    "nvfp4 of compressed-tensors": (_make_packed_nvfp4, {"quant_method": "compressed-tensors"}),
    "nvfp4 of modelopt": (_make_modelopt_nvfp4, {"quant_method": "modelopt", "quant_algo": "NVFP4"}),
    "gptq": (_make_gptq, {"quant_method": "gptq", "bits": 4}),
    "gptq v2, 8 bits": (_make_gptq_v2, {"quant_method": "gptq", "bits": 8, "checkpoint_format": "gptq_v2"}),
    "awq": (_make_awq, {"quant_method": "awq", "bits": 4}),
    "packed": (_make_packed, {"quant_method": "compressed-tensors", **PACKED}),
}


def write_quantized(folder: Path, make: Make, stated: dict[str, Any], seed: int) -> Tensors:
    """Write a llama quantised by `make`; returns all its tensors as plain numbers."""
    write_llama(folder, layers=DEPTH, hidden=HIDDEN, ffn=FFN, seed=seed, quantization_config=stated)
    path, source = folder / "model.safetensors", torch.Generator().manual_seed(seed)
    stored = load_file(path)
    plain = dict(stored)
    for layer in range(DEPTH):
        for module in LINEAR:
            base = f"model.layers.{layer}.{module}."
            parts, plain[f"{base}weight"] = make(source, *stored.pop(f"{base}weight").shape)
            stored |= {base + name: part.contiguous() for name, part in parts.items()}
    save_file(stored, path, {"format": "pt"})
    return plain


@pytest.fixture(params=SCHEMES)
def home(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Path, Tensors, Tensors]:
    """A folder with two quantised donors, and the plain numbers of both."""
    make, stated = SCHEMES[request.param]
    a, b = (write_quantized(tmp_path / name, make, stated, seed) for seed, name in enumerate("ab"))
    return tmp_path, a, b


def _build(home: Path, rest: str) -> Tensors:
    spec = home / "spec.yml"
    spec.write_text(f"stacker: 1\ndonors: {{a: ./a, b: ./b}}\noutput: {{dequantize: true}}\n{rest}\n")
    load(spec).build(home / "out")
    return load_file(home / "out" / "model.safetensors")


def test_layers_are_decoded(home: tuple[Path, Tensors, Tensors]) -> None:
    """Every weight has the numbers of the reference, rounded to bf16, and the config calls them plain."""
    folder, a, b = home
    out = _build(folder, "stack: ['a[0:2]', 'b[1:3]']")
    for place, (donor, layer) in enumerate([(a, 0), (a, 1), (b, 1), (b, 2)]):
        for module in LINEAR:
            found = out[f"model.layers.{place}.{module}.weight"]
            assert found.dtype is torch.bfloat16
            assert torch.equal(found, donor[f"model.layers.{layer}.{module}.weight"])
    assert len(out) == 3 + 4 * 9
    config = json.loads((folder / "out" / "config.json").read_text())
    assert "quantization_config" not in config
    assert config["dtype"] == "bfloat16"


def test_decoded_weights_are_blended(home: tuple[Path, Tensors, Tensors]) -> None:
    """A blend is that of the same donors in bf16."""
    folder, a, b = home
    out = _build(folder, "stack:\n - {blend: [a, b], op: linear, weight: 0.5}")
    for name, tensor in out.items():
        expected = a[name] if "layers" not in name else ((a[name].float() + b[name].float()) / 2).bfloat16()
        assert torch.equal(tensor, expected), name


def test_experts_of_gpt_oss(tmp_path: Path) -> None:
    """MXFP4 experts become what transformers makes of them, under the names of plain weights."""
    config: dict[str, Any] = {
        "architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss", "hidden_size": 64, "intermediate_size": 32,
        "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 32, "num_hidden_layers": 2,
        "num_local_experts": 3, "vocab_size": 24, "layer_types": ["sliding_attention", "full_attention"],
        "quantization_config": {"quant_method": "mxfp4"}, "dtype": "bfloat16",
    }  # fmt: skip
    architecture = find_architecture(config)
    assert architecture is not None
    source = torch.Generator().manual_seed(0)
    stored = {}
    for spec in list_expected_tensors(architecture, config):
        values = _random_bytes(source, *spec.shape)
        stored[spec.name] = values if spec.dtype.label == "U8" else values.bfloat16()
    (tmp_path / "a").mkdir()
    save_file(stored, tmp_path / "a" / "model.safetensors", {"format": "pt"})
    (tmp_path / "a" / "config.json").write_text(json.dumps(config))
    spec_file = tmp_path / "spec.yml"
    spec_file.write_text("stacker: 1\ndonors: {a: ./a}\nstack: ['a', 'a']\noutput: {dequantize: true}\n")
    load(spec_file).build(tmp_path / "out")
    out = load_file(tmp_path / "out" / "model.safetensors")
    for name in ("gate_up_proj", "down_proj"):
        base = f"model.layers.1.mlp.experts.{name}"
        expected = convert_moe_packed_tensors(stored[f"{base}_blocks"], stored[f"{base}_scales"])
        assert torch.equal(out[f"model.layers.3.mlp.experts.{name}"].nan_to_num(), expected.nan_to_num())
    assert not [name for name in out if name.endswith(("_blocks", "_scales"))]


def test_donors_of_different_schemes_meet(tmp_path: Path) -> None:
    """They are refused with both schemes named, unless they are dequantised."""
    a = write_quantized(tmp_path / "a", *SCHEMES["gptq"], seed=0)
    b = write_quantized(tmp_path / "b", *SCHEMES["fp8 in blocks"], seed=1)
    spec = tmp_path / "mixed.yml"
    spec.write_text("stacker: 1\ndonors: {a: ./a, b: ./b}\nstack: ['a[0]', 'b[1]']\n")
    with pytest.raises(StackerError, match=r"(?s)gptq.*fp8.*dequantize: true"):
        load(spec).plan()
    out = _build(tmp_path, "stack: ['a[0]', 'b[1]']")
    name = "mlp.up_proj.weight"
    assert torch.equal(out[f"model.layers.0.{name}"], a[f"model.layers.0.{name}"])
    assert torch.equal(out[f"model.layers.1.{name}"], b[f"model.layers.1.{name}"])


@pytest.mark.parametrize(
    ("parts", "stated", "reason"),
    [
        ({"weight.absmax": torch.ones(4)}, {"quant_method": "bitsandbytes"}, "its shape is not known"),
        ({"weight_scale": torch.ones(5, 7)}, {"quant_method": "fp8"}, "does not fit"),
        ({"weight_scale": torch.ones(1)}, {"quant_method": "fp8", "transform_config": {"R1": {}}}, "rotated"),
        ({"weight_packed": torch.ones(64, 8, dtype=torch.int32)}, {"quant_method": "compressed-tensors"}, "0 bits"),
    ],
    ids=["bitsandbytes", "scales of another shape", "rotated", "bits not stated"],
)
def test_what_is_not_known_is_refused(tmp_path: Path, parts: Tensors, stated: dict[str, Any], reason: str) -> None:
    """The message names the tensor and says what of it cannot be decoded."""
    kind = torch.uint8 if "bitsandbytes" in stated.values() else torch.float8_e4m3fn

    def make(source: torch.Generator, rows: int, columns: int) -> tuple[Tensors, Tensor]:
        codes = _random_bytes(source, rows, columns).view(kind)
        return {"weight": codes} | {name: part.clone() for name, part in parts.items()}, codes

    write_quantized(tmp_path / "a", make, stated, seed=0)
    write_quantized(tmp_path / "b", make, stated, seed=1)
    with pytest.raises(StackerError, match=reason):
        _build(tmp_path, "stack: [a]")


def test_bytes_of_unknown_meaning_are_refused(tmp_path: Path) -> None:
    """fp8 checkpoints may hold pairs of fp4 numbers as int8, which are not read as integers."""
    for seed, name in enumerate("ab"):
        write_quantized(tmp_path / name, _make_integers, {"quant_method": "fp8"}, seed)
    with pytest.raises(StackerError, match="pairs of 4 bits"):
        _build(tmp_path, "stack: [a]")


def test_words_of_other_methods_are_refused(tmp_path: Path) -> None:
    """Programs that use the names of GPTQ for another layout are not mistaken for it."""
    for seed, name in enumerate("ab"):
        write_quantized(tmp_path / name, _make_gptq, {"quant_method": "auto-round", "bits": 4}, seed)
    with pytest.raises(StackerError, match="does not call gptq or awq"):
        _build(tmp_path, "stack: [a]")


def test_a_stack_of_quantised_layers_is_decoded(tmp_path: Path) -> None:
    """A nested stack that moves quantised layers is dequantised where it is blended."""
    a, b = (write_quantized(tmp_path / name, *SCHEMES["fp8 in blocks"], seed) for seed, name in enumerate("ab"))
    (tmp_path / "inner.yml").write_text("stacker: 1\ndonors: {a: ./a}\nstack: ['a[1:3]']\n")
    (tmp_path / "outer.yml").write_text(
        "stacker: 1\ndonors: {a: {stack: inner.yml}, b: ./b}\noutput: {dequantize: true}\n"
        "stack:\n - {blend: ['a[0:2]', 'b[0:2]'], op: linear, weight: 0.5}\n"
    )
    load(tmp_path / "outer.yml").build(tmp_path / "out")
    out, name = load_file(tmp_path / "out" / "model.safetensors"), "mlp.up_proj.weight"
    one, other = a[f"model.layers.1.{name}"].float(), b[f"model.layers.0.{name}"].float()
    assert torch.equal(out[f"model.layers.0.{name}"], ((one + other) / 2).bfloat16())


def test_a_live_stack_is_dequantised(tmp_path: Path) -> None:
    """A stack of quantised donors runs without being built."""
    a = write_quantized(tmp_path / "a", *SCHEMES["gptq"], seed=0)
    (tmp_path / "spec.yml").write_text("stacker: 1\ndonors: {a: ./a}\nstack: [a]\noutput: {dequantize: true}\n")
    weights = load(tmp_path / "spec.yml").live().state_dict()
    name = "model.layers.2.mlp.down_proj.weight"
    assert torch.equal(weights[name].bfloat16(), a[name])


def test_the_cause_of_infinite_numbers_is_found(tmp_path: Path) -> None:
    """A scale that is not a number is reported with the donor's weight that it belongs to."""

    def make(source: torch.Generator, rows: int, columns: int) -> tuple[Tensors, Tensor]:
        parts, numbers = _make_channels(source, rows, columns)
        return parts | {"weight_scale": parts["weight_scale"] * float("nan")}, numbers

    write_quantized(tmp_path / "a", make, {"quant_method": "compressed-tensors"}, seed=0)
    (tmp_path / "spec.yml").write_text("stacker: 1\ndonors: {a: ./a}\nstack: [a]\noutput: {dequantize: true}\n")
    warnings: list[str] = []
    stack = load(tmp_path / "spec.yml")
    build(stack, tmp_path / "out", DEFAULTS, Listener(warn=lambda found: warnings.extend(map(str, found))))
    assert any("_proj.weight' of donor 'a' already has such values" in each for each in warnings)


@pytest.mark.parametrize("name", ["pre_quant_scale", "smooth_factor", "perm"])
def test_tensors_beside_a_weight_are_known_or_refused(tmp_path: Path, name: str) -> None:
    """A factor that belongs to a weight is not copied beside it, as if the weight were whole without it."""
    make, stated = SCHEMES["fp8 in blocks"]

    def make_more(source: torch.Generator, rows: int, columns: int) -> tuple[Tensors, Tensor]:
        parts, numbers = make(source, rows, columns)
        return parts | {name: torch.full((columns,), 0.5)}, numbers

    for seed, donor in enumerate("ab"):
        write_quantized(tmp_path / donor, make_more, stated, seed)
    with pytest.raises(StackerError, match=rf"{name}' does to the weight beside it is not known"):
        _build(tmp_path, "stack: [a]")


@pytest.mark.parametrize("group", [-1, 1 << 30, 1000])
def test_groups_without_scales_are_refused(tmp_path: Path, group: int) -> None:
    """An order of GPTQ's inputs that names groups which do not exist reads no other memory."""
    name = next(each for each in SCHEMES if "gptq" in each.lower())
    make, stated = SCHEMES[name]

    def make_broken(source: torch.Generator, rows: int, columns: int) -> tuple[Tensors, Tensor]:
        parts, numbers = make(source, rows, columns)
        return parts | {"g_idx": torch.full_like(parts["g_idx"], group)}, numbers

    for seed, donor in enumerate("ab"):
        write_quantized(tmp_path / donor, make_broken, stated, seed)
    with pytest.raises(StackerError, match="g_idx"):
        _build(tmp_path, "stack: [a]")
