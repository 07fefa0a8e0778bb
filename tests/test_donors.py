"""The tiny donors are valid for the safetensors library and for transformers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM

from tests.donors import write_llama


@pytest.mark.parametrize("shards", [1, 3], ids=["one file", "three shards"])
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_transformers_loads_the_donor(tmp_path: Path, shards: int, tied: bool) -> None:
    """A tiny llama loads with nothing missing, nothing unexpected."""
    folder = write_llama(tmp_path / "a", shards=shards, tied=tied)
    _, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))


@pytest.mark.parametrize("dtype", ["F64", "F32", "F16", "BF16"])
def test_values_are_small_and_finite(tmp_path: Path, dtype: str) -> None:
    """Random values lie between 2**-7 and 2**-3 in magnitude, with both signs."""
    folder = write_llama(tmp_path / "a", layers=1, dtype=dtype)
    with safe_open(folder / "model.safetensors", "pt") as file:
        values = file.get_tensor("lm_head.weight").to(torch.float64)
    assert values.abs().min() >= 2**-7
    assert values.abs().max() < 2**-3
    assert (values < 0).any()
    assert (values > 0).any()


def test_seeds_differ(tmp_path: Path) -> None:
    """Another seed gives other bytes, the same seed the same."""
    first, again, other = (
        (write_llama(tmp_path / name, seed=seed) / "model.safetensors").read_bytes()
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == again != other
