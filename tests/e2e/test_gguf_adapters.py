"""LoRAs in GGUF files, written by the package gguf as llama.cpp's converter does, folded into GGUF donors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFWriter, quants

from stacker.checkpoint import verify
from stacker.compose import load
from stacker.errors import DonorError, StackerError
from tests.gguf_donors import FFN, HIDDEN, LAYER, VOCAB, read_tensors, write_gguf

Factors = Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]
RANK, ALPHA, EXPERTS = 32, 16.0, 4
MATRICES: Factors = {
    "blk.1.attn_q.weight": ((RANK, HIDDEN), (HIDDEN, RANK)),
    "blk.1.ffn_down.weight": ((8, FFN), (HIDDEN, 8)),
}
EMBEDDING: Factors = {"token_embd.weight": ((VOCAB, RANK), (HIDDEN, RANK))}
FUSED: Factors = {"blk.0.ffn_up_exps.weight": ((EXPERTS, RANK, HIDDEN), (EXPERTS, FFN, RANK))}


def write_adapter(
    path: Path, factors: Factors, *, alpha: float = ALPHA, kind: str = "F32", keys: Mapping[str, Any] | None = None
) -> dict[str, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    """Write a LoRA, and return its factors as they are stored; rows that are no whole blocks are F32."""
    entries = {"general.type": "adapter", "adapter.type": "lora"} | dict(keys or {})
    writer = GGUFWriter(path, str(entries.pop("general.architecture", "llama")))
    for key, value in entries.items():
        writer.add_string(key, value)
    writer.add_float32("adapter.lora.alpha", alpha)
    random, stored = np.random.default_rng(5), {}
    for name, shapes in factors.items():
        made = []
        for ending, shape in zip(("lora_a", "lora_b"), shapes, strict=True):
            values = random.standard_normal(shape).astype(np.float32) * np.float32(0.3)
            own = GGMLQuantizationType[kind if shape[-1] % 32 == 0 else "F32"]
            packed = values if own is GGMLQuantizationType.F32 else quants.quantize(values, own)
            writer.add_tensor(f"{name}.{ending}", packed, raw_dtype=own)
            made.append(packed if own is GGMLQuantizationType.F32 else quants.dequantize(packed, own))
        stored[name] = (made[0], made[1])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return stored


def values(path: Path, name: str) -> np.ndarray[Any, Any]:
    kind, shape, data = read_tensors(path)[name]
    own = GGMLQuantizationType[kind]
    raw = np.frombuffer(data, np.float32 if kind == "F32" else np.uint8)
    return (raw if kind == "F32" else quants.dequantize(raw.reshape(*shape[:-1], -1), own)).reshape(shape)


def build_adapted(home: Path, weight: float = 1.0, more: str = "") -> Path:
    (home / "spec.yml").write_text(
        "stacker: 1\nname: x\nstack: [a]\ndonors:\n"
        f"  a: {{source: a.gguf, adapters: [{{source: lora.gguf, weight: {weight}}}]}}\n{more}"
    )
    load(home / "spec.yml").build(home / "out.gguf")
    return home / "out.gguf"


@pytest.mark.parametrize("factors", ["F32", "F16", "BF16", "Q8_0"])
@pytest.mark.parametrize("kind", ["F32", "Q8_0"])
def test_a_lora_is_added_to_the_matrices_that_it_names(tmp_path: Path, kind: str, factors: str) -> None:
    """W + α/rank · B·A as in fp64, rounded to the donor's type; all other tensors keep their bytes."""
    write_gguf(tmp_path / "a.gguf", kind=kind)
    stored = write_adapter(tmp_path / "lora.gguf", MATRICES, kind=factors)
    out = build_adapted(tmp_path, 0.5)
    for name, (a, b) in stored.items():
        wide = values(tmp_path / "a.gguf", name).astype(np.float64)
        want = wide + 0.5 * ALPHA / len(a) * (b.astype(np.float64) @ a.astype(np.float64))
        steps = np.abs(want).reshape(-1, 32).max(axis=1, keepdims=True) * (1 / 127 if kind == "Q8_0" else 1e-5)
        assert (np.abs(values(out, name) - want).reshape(-1, 32) <= 0.6 * steps).all()
        assert np.median(np.abs(want - wide).reshape(-1, 32) / steps) > 3
    before, after = read_tensors(tmp_path / "a.gguf"), read_tensors(out)
    assert {name for name in before if before[name] != after[name]} == set(stored)
    assert verify(out).problems == ()


def test_no_alpha_means_a_factor_of_one(tmp_path: Path) -> None:
    """llama.cpp does not divide by the rank if alpha is 0."""
    write_gguf(tmp_path / "a.gguf", kind="F32")
    stored = write_adapter(tmp_path / "lora.gguf", MATRICES, alpha=0.0)
    out = build_adapted(tmp_path)
    for name, (a, b) in stored.items():
        np.testing.assert_allclose(values(out, name), values(tmp_path / "a.gguf", name) + b @ a, rtol=1e-4, atol=1e-4)


def test_a_lora_of_the_embedding_has_its_first_factor_transposed(tmp_path: Path) -> None:
    """Rows of lora_a belong to tokens, and the head stays as it is."""
    write_gguf(tmp_path / "a.gguf", kind="F32")
    a, b = write_adapter(tmp_path / "lora.gguf", EMBEDDING)["token_embd.weight"]
    out = build_adapted(tmp_path)
    want = values(tmp_path / "a.gguf", "token_embd.weight") + ALPHA / RANK * (a @ b.T)
    np.testing.assert_allclose(values(out, "token_embd.weight"), want, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(values(out, "output.weight"), values(tmp_path / "a.gguf", "output.weight"))


def test_experts_have_factors_of_their_own(tmp_path: Path) -> None:
    """Each expert's matrix is changed by the product of its own two factors."""
    fused = {"ffn_gate_inp.weight": (EXPERTS, HIDDEN), "ffn_down_exps.weight": (EXPERTS, HIDDEN, FFN)}
    fused |= {f"ffn_{each}_exps.weight": (EXPERTS, FFN, HIDDEN) for each in ("up", "gate")}
    shapes = {name: shape for name, shape in LAYER.items() if "ffn_" not in name or "norm" in name} | fused
    write_gguf(tmp_path / "a.gguf", kind="F32", shapes=shapes, keys={"expert_count": EXPERTS, "expert_used_count": 2})
    a, b = write_adapter(tmp_path / "lora.gguf", FUSED)["blk.0.ffn_up_exps.weight"]
    out = build_adapted(tmp_path)
    name = "blk.0.ffn_up_exps.weight"
    want = values(tmp_path / "a.gguf", name) + ALPHA / RANK * np.einsum("eor,eri->eoi", b, a)
    np.testing.assert_allclose(values(out, name), want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("keys", "factors", "said"),
    [
        ({"general.type": "model"}, MATRICES, "is no LoRA: it is a model"),
        ({"adapter.type": "control_vector"}, MATRICES, "is no LoRA: it is of type adapter control_vector"),
        ({"general.architecture": "qwen2"}, MATRICES, "for the architecture 'qwen2', and the donor is 'llama'"),
        ({}, {"blk.1.attn_q.weight": ((8, FFN), (HIDDEN, 8))}, r"does not fit lora_a \[8, 512\]"),
        ({}, {"blk.9.attn_q.weight": ((8, HIDDEN), (HIDDEN, 8))}, r"has no blk\.9\.attn_q\.weight"),
        ({}, {"blk.1.attn_q.bias": ((8, HIDDEN), (HIDDEN, 8))}, "is no factor of a LoRA"),
    ],
    ids=["model", "other-kind", "architecture", "shape", "missing", "name"],
)
def test_what_cannot_be_folded_is_refused(tmp_path: Path, keys: dict[str, str], factors: Factors, said: str) -> None:
    """The error says what is wrong with the file."""
    write_gguf(tmp_path / "a.gguf")
    write_adapter(tmp_path / "lora.gguf", factors, keys=keys)
    with pytest.raises(DonorError, match=said):
        build_adapted(tmp_path)


def test_a_base_that_cannot_be_written_needs_another_type(tmp_path: Path) -> None:
    """Nothing here quantises to K-quants; with `dtype: q8_0` the stack is built."""
    write_gguf(tmp_path / "a.gguf", types={"blk.1.attn_q.weight": "Q4_K"})
    stored = write_adapter(tmp_path / "lora.gguf", MATRICES)
    with pytest.raises(StackerError, match=r"nothing here can quantise to Q4_K(.|\n)*dtype: q8_0"):
        build_adapted(tmp_path)
    out = build_adapted(tmp_path, more="output: {dtype: q8_0}\n")
    (a, b), name = stored["blk.1.attn_q.weight"], "blk.1.attn_q.weight"
    want = values(tmp_path / "a.gguf", name) + ALPHA / RANK * (b @ a)
    assert np.abs(values(out, name) - want).max() <= 0.6 * np.abs(want).max() / 127


def test_kinds_of_files_do_not_mix(tmp_path: Path) -> None:
    """A LoRA in a GGUF file beside a donor in safetensors is refused."""
    from tests.donors import write_llama

    write_llama(tmp_path / "a.gguf", layers=2)
    write_adapter(tmp_path / "lora.gguf", MATRICES)
    with pytest.raises(DonorError, match="this adapter is a GGUF file, and donor 'a' is not"):
        build_adapted(tmp_path)
