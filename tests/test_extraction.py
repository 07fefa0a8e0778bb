"""Extracted LoRAs: base plus LoRA is the fine-tune up to the best approximation of its rank, in stacker and in peft."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import stacker
from stacker.errors import DonorError, SpecError
from tests.donors import write_llama
from tests.gguf_donors import write_gguf

RANK = 3


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A base, and `tuned`, whose matrices differ by products of rank RANK plus a little noise, and a changed norm."""
    write_llama(tmp_path / "base", layers=2, dtype="F32")
    shutil.copytree(tmp_path / "base", tmp_path / "tuned")
    tensors = load_file(tmp_path / "base" / "model.safetensors")
    torch.manual_seed(0)
    for name, tensor in tensors.items():
        if tensor.ndim == 2 and "up_proj" not in name:
            rows, width = tensor.shape
            tensors[name] = (
                tensor + torch.randn(rows, RANK) @ torch.randn(RANK, width) + 0.02 * torch.randn(rows, width)
            )
    tensors["model.norm.weight"] = tensors["model.norm.weight"] + 0.25
    save_file(tensors, tmp_path / "tuned" / "model.safetensors", metadata={"format": "pt"})
    return tmp_path


def test_the_rest_is_the_smallest_possible(home: Path) -> None:
    """What the LoRA leaves out of each matrix is the tail of its singular values in fp64."""
    found = stacker.extract_lora(str(home / "tuned"), str(home / "base"), home / "lora", rank=RANK)
    one, other = (load_file(home / name / "model.safetensors") for name in ("tuned", "base"))
    products = [tensor for tensor in found.tensors if tensor.how == "product"]
    assert len(products) == 2 * 6 + 2
    for tensor in products:
        values = np.linalg.svd((one[tensor.name].double() - other[tensor.name].double()).numpy(), compute_uv=False)
        best = np.sqrt((values[RANK:] ** 2).sum() / (values**2).sum())
        assert best <= tensor.lost * 1.001
        assert tensor.lost <= best * 1.01 + 1e-5
    assert {tensor.name for tensor in found.tensors if tensor.how == "whole"} == {"model.norm.weight"}


def test_folding_it_gives_the_fine_tune(home: Path) -> None:
    """The base with the LoRA is the fine-tune, up to the noise that the rank cannot hold."""
    stacker.extract_lora(str(home / "tuned"), str(home / "base"), home / "lora", rank=RANK)
    spec = {"stacker": 1, "donors": {"x": {"source": "./base", "adapters": ["./lora"]}}, "stack": ["x"]}
    (home / "s.yml").write_text(json.dumps(spec))
    stacker.load(home / "s.yml").build(home / "out")
    made, wanted = (load_file(home / name / "model.safetensors") for name in ("out", "tuned"))
    assert made.keys() == wanted.keys()
    for name, tensor in made.items():
        torch.testing.assert_close(tensor, wanted[name], rtol=1e-3, atol=0.15)
    assert made["model.norm.weight"].equal(wanted["model.norm.weight"])


def test_peft_loads_it(home: Path) -> None:
    """peft's model of base and LoRA computes what the fine-tune computes."""
    peft = pytest.importorskip("peft")
    from transformers import AutoModelForCausalLM

    stacker.extract_lora(str(home / "tuned"), str(home / "base"), home / "lora", energy=1 - 1e-9)
    tokens = torch.tensor([[1, 5, 9, 3]])
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        base = AutoModelForCausalLM.from_pretrained(home / "base", dtype=torch.float32)
        wanted = AutoModelForCausalLM.from_pretrained(home / "tuned", dtype=torch.float32)(tokens).logits
        found = peft.PeftModel.from_pretrained(base, home / "lora")(tokens).logits
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=5e-3)


@pytest.mark.parametrize("energy", [0.5, 0.9, 0.999])
def test_energy(home: Path, energy: float) -> None:
    """Every product keeps the wanted share, and one rank less would not."""
    found = stacker.extract_lora(str(home / "tuned"), str(home / "base"), home / "lora", energy=energy)
    one, other = (load_file(home / name / "model.safetensors") for name in ("tuned", "base"))
    for tensor in (tensor for tensor in found.tensors if tensor.how == "product"):
        values = np.linalg.svd((one[tensor.name].double() - other[tensor.name].double()).numpy(), compute_uv=False)
        shares = np.cumsum(values**2) / (values**2).sum()
        assert tensor.rank == int(np.searchsorted(shares, energy)) + 1
        assert 1 - tensor.lost**2 >= energy - 1e-6


def test_wrong_arguments(home: Path) -> None:
    """Arguments and donors that do not fit are refused, and nothing is left behind."""
    base, tuned = str(home / "base"), str(home / "tuned")
    with pytest.raises(SpecError, match="either a rank or an energy"):
        stacker.extract_lora(tuned, base, home / "lora")
    with pytest.raises(SpecError, match=r"the energy cannot be 1\.5"):
        stacker.extract_lora(tuned, base, home / "lora", energy=1.5)
    with pytest.raises(SpecError, match="have the same weights"):
        stacker.extract_lora(base, base, home / "lora", rank=2)
    write_llama(home / "other", layers=2, hidden=32)
    with pytest.raises(DonorError, match=r"model\.embed_tokens\.weight is"):
        stacker.extract_lora(str(home / "other"), base, home / "lora", rank=2)
    with pytest.raises(SpecError, match="there is something at"):
        stacker.extract_lora(tuned, base, home / "base", rank=2)
    assert sorted(path.name for path in home.iterdir()) == ["base", "other", "tuned"]


@pytest.mark.parametrize("wanted", [{"rank": RANK}, {"energy": 1.0}])
def test_an_exact_change_loses_nothing(home: Path, wanted: dict[str, float]) -> None:
    """A change of rank RANK without any noise gets this rank, and what is left out is what rounding makes."""
    base = load_file(home / "base" / "model.safetensors")
    tuned = dict(base)
    for name in (name for name in base if name.endswith(("_proj.weight", "lm_head.weight"))):
        rows, width = base[name].shape
        left, right = (torch.randint(-3, 4, shape).float() for shape in ((rows, RANK), (RANK, width)))
        base[name] = torch.zeros(rows, width)
        tuned[name] = left @ right
    for name, tensors in (("base", base), ("tuned", tuned)):
        save_file(tensors, home / name / "model.safetensors", metadata={"format": "pt"})
    found = stacker.extract_lora(str(home / "tuned"), str(home / "base"), home / "lora", **wanted)  # type: ignore[arg-type]
    assert {tensor.rank for tensor in found.tensors} == {RANK}
    assert max(tensor.lost for tensor in found.tensors) < 3e-6


def test_gguf_is_refused(tmp_path: Path) -> None:
    """The names of tensors in GGUF files are not those of peft."""
    for name in ("a", "b"):
        write_gguf(tmp_path / f"{name}.gguf", seed=1, name=name)
    with pytest.raises(DonorError, match="is a GGUF file"):
        stacker.extract_lora(str(tmp_path / "a.gguf"), str(tmp_path / "b.gguf"), tmp_path / "lora", rank=2)
    assert not (tmp_path / "lora").exists()
