"""Distances of two checkpoints: against numpy in float64, for all element types, odd values and quantised tensors."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import stacker
from stacker.core.plan.costs import TILE
from stacker.core.study.distances import Distance, TensorDistance, WeightDistances
from tests.donors import write_llama

Q = "model.layers.1.self_attn.q_proj.weight"
TYPES = ("F64", "F32", "F16", "BF16")


def change(folder: Path, **tensors: Any) -> None:
    """Replace tensors of a donor, or add them."""
    path = folder / "model.safetensors"
    save_file(load_file(path) | tensors, path, metadata={"format": "pt"})


def compare(tmp_path: Path) -> WeightDistances:
    return stacker.compare_weights(str(tmp_path / "a"), str(tmp_path / "b"))


def find(found: WeightDistances, name: str) -> Distance:
    return next(tensor.distance for tensor in found.tensors if tensor.name == name)


@pytest.mark.parametrize("dtypes", [(one, other) for one in TYPES for other in TYPES], ids="-".join)
def test_every_tensor_is_as_far_as_numpy_says(tmp_path: Path, dtypes: tuple[str, str]) -> None:
    """Distance, cosine and the number of differing elements, also between two element types."""
    for seed, (name, dtype) in enumerate(zip("ab", dtypes, strict=True)):
        write_llama(tmp_path / name, layers=2, dtype=dtype, seed=seed)
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in "ab")
    found = compare(tmp_path)
    assert {tensor.name for tensor in found.tensors} == one.keys()
    for tensor in found.tensors:
        x, y = (each[tensor.name].double().numpy().ravel() for each in (one, other))
        distance = tensor.distance
        assert distance.differing == np.count_nonzero(x != y)
        assert distance.relative == pytest.approx(np.linalg.norm(y - x) / np.linalg.norm(x), rel=1e-12)
        assert distance.cosine == pytest.approx(x @ y / np.linalg.norm(x) / np.linalg.norm(y), rel=1e-12)


def test_tensors_of_many_tiles(tmp_path: Path) -> None:
    """A tensor of several tiles, and a small change that is lost if norms are subtracted."""
    write_llama(tmp_path / "a", layers=1, dtype="F32", hidden=256, vocab=TILE // 256 * 3 + 5)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    name = "model.embed_tokens.weight"
    x = load_file(tmp_path / "a" / "model.safetensors")[name]
    y = x.clone()
    y[-1, -1] += 1e-6
    change(tmp_path / "b", **{name: y})
    found = find(compare(tmp_path), name)
    wanted = np.linalg.norm((y.double() - x.double()).numpy()) / np.linalg.norm(x.double().numpy())
    assert found.differing == 1
    assert found.relative == pytest.approx(wanted, rel=1e-12)


def test_odd_values(tmp_path: Path) -> None:
    """Equal NaN and infinities count as equal, zeros of both signs too; other changes of them have no distance."""
    write_llama(tmp_path / "a", layers=2, dtype="F32")
    values = torch.full((16, 16), torch.nan)
    values[0, :2] = torch.tensor([torch.inf, 0.0])
    change(tmp_path / "a", **{Q: values})
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    values[0, 1] = -0.0
    change(tmp_path / "b", **{Q: values})
    assert compare(tmp_path).same
    values[1, 1] = 1.0
    change(tmp_path / "b", **{Q: values})
    found = compare(tmp_path)
    assert (found.same, find(found, Q).differing) == (False, 1)
    assert np.isnan(find(found, Q).relative)


def test_a_change_from_zero_is_infinite(tmp_path: Path) -> None:
    """There is no relative distance from zeros."""
    write_llama(tmp_path / "a", layers=2, dtype="F32")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    change(tmp_path / "a", **{Q: torch.zeros(16, 16)})
    found = find(compare(tmp_path), Q)
    assert found.relative == np.inf
    assert np.isnan(found.cosine)


def test_quantised_tensors(tmp_path: Path) -> None:
    """Of quantised tensors, bytes are compared, and no distance is given; scales beside them have no meaning alone."""
    path = "model.layers.0.mlp.up_proj"
    extra = {f"{path}.qweight": ("I32", (4, 8)), f"{path}.scales": ("F16", (1, 8))}
    for name in "ab":
        write_llama(tmp_path / name, layers=2, extra=extra, quantization_config={"quant_method": "gptq", "bits": 4})
    found = compare(tmp_path)
    assert {each.name for each in found.skipped} >= extra.keys()
    assert all(each.same and each.reason == "quantised (gptq)" for each in found.skipped)
    assert found.same
    change(tmp_path / "b", **{f"{path}.qweight": torch.ones(4, 8, dtype=torch.int32)})
    found = compare(tmp_path)
    assert [each.name for each in found.skipped if not each.same] == [f"{path}.qweight"]
    assert not found.same


def test_roles_and_layers_are_sums(tmp_path: Path) -> None:
    """The distance of a layer is that of all its tensors as one vector."""
    for seed, name in enumerate("ab"):
        write_llama(tmp_path / name, layers=3, dtype="F32", seed=seed)
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in "ab")
    found = compare(tmp_path)
    for layer, distance in found.by_layer().items():
        names = [name for name in one if f".{layer}." in name]
        x, y = (np.concatenate([each[name].double().numpy().ravel() for name in names]) for each in (one, other))
        assert distance.relative == pytest.approx(np.linalg.norm(y - x) / np.linalg.norm(x), rel=1e-12)
    assert found.total.elements == sum(tensor.numel() for tensor in one.values())


def test_the_parts_of_a_sum_are_those_of_its_tensors() -> None:
    """Tensors outside the layers are in no role and layer."""
    distance = Distance(1, 2, 1, 1.0, 4.0, 4.0, 2.0)
    found = WeightDistances(
        1, (TensorDistance("a", "attn.q", 0, distance), TensorDistance("e", "embed", None, distance))
    )
    assert found.by_cell() == {("attn.q", 0): distance}
    assert found.total == Distance(2, 4, 2, 2.0, 8.0, 8.0, 4.0)
