"""Every op on every float type, fp8 included, alone and mixed: whole builds against fp64 references, rounded once.

One stack has a blend of each op over the same twelve layers. Of the donors' layers the first six are of one type each,
of the others each donor has another type.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch
from transformers import AutoModelForCausalLM

from stacker.compose import load
from stacker.ops.table import OPS
from tests.donors import write_llama
from tests.ops.any_op import parameters_of, reference

TYPES = (torch.float8_e4m3fn, torch.float8_e5m2, torch.bfloat16, torch.float16, torch.float32, torch.float64)
LAYERS = 2 * len(TYPES)
TENSORS = ("self_attn.o_proj.weight", "input_layernorm.weight")
Tensors = dict[str, torch.Tensor]
Home = tuple[Path, dict[str, Tensors]]


def _type_of(layer: int, donor: int) -> torch.dtype:
    return TYPES[layer % len(TYPES) if layer < len(TYPES) else (layer + 2 * donor) % len(TYPES)]


def _write(folder: Path, donor: int) -> Tensors:
    """A donor near a common tensor, written by the safetensors library."""
    write_llama(folder, layers=LAYERS)
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    for number, (name, tensor) in enumerate(tensors.items()):
        common = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(number), dtype=torch.float64)
        own = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(1000 + 1000 * donor + number)) / 2
        kind = _type_of(int(name.split(".")[2]), donor) if ".layers." in name else torch.bfloat16
        tensors[name] = (common + own.double()).to(kind)
    safetensors.torch.save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return tensors


def _item(op: str) -> str:
    own, each = parameters_of(op)
    sources = [{"slice": name, **values} for name, values in zip("ab", each, strict=False)]
    return f"  - {json.dumps({'blend': sources, 'op': op, **own})}\n"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A folder with three donors, and their tensors."""
    folder = tmp_path_factory.mktemp("donors")
    return folder, {name: _write(folder / name, number) for number, name in enumerate(("a", "b", "base"))}


@pytest.fixture(scope="module", params=["keep", *(str(kind).removeprefix("torch.") for kind in TYPES[:-1])])
def built(home: Home, request: pytest.FixtureRequest) -> tuple[str, Tensors]:
    """The requested type and the written tensors, with the layers of each op in turn."""
    folder, asked = home[0], request.param
    text = "stacker: 1\ndonors: {a: ./a, b: ./b, base: ./base}\nbase: base\nstack:\n" + "".join(map(_item, OPS))
    (folder / "spec.yml").write_text(f"{text}embed: a\nhead: a\noutput: {{dtype: {asked}}}\n")
    load(folder / "spec.yml").build(folder / asked)
    return asked, safetensors.torch.load_file(folder / asked / "model.safetensors")


@pytest.mark.parametrize("op", OPS)
def test_an_op_on_every_type(op: str, home: Home, built: tuple[str, Tensors]) -> None:
    """Each element is the exact value rounded once, by default to the first source's type."""
    asked, made = built
    for layer in range(LAYERS):
        kind = _type_of(layer, 0) if asked == "keep" else getattr(torch, asked)
        for suffix in TENSORS:
            ours = f"model.layers.{list(OPS).index(op) * LAYERS + layer}.{suffix}"
            *sources, base = (tensors[f"model.layers.{layer}.{suffix}"] for tensors in home[1].values())
            exact = reference(op, ours, sources[: OPS[op].arity[1]], base)
            assert made[ours].dtype is kind
            said = ", ".join(str(tensor.dtype) for tensor in (*sources, base))
            _check_rounded_once(made[ours], exact, f"{ours} of {said}")


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2"])
def test_a_checkpoint_of_fp8_loads(tmp_path: Path, dtype: str) -> None:
    """transformers computes in the type of the config, which is not fp8, and widens what it reads exactly."""
    write_llama(tmp_path / "a", dtype="F32")
    (tmp_path / "spec.yml").write_text(f"stacker: 1\ndonors: {{a: ./a}}\nstack: [a]\noutput: {{dtype: {dtype}}}\n")
    load(tmp_path / "spec.yml").build(tmp_path / "out")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out").state_dict()
    for name, tensor in safetensors.torch.load_file(tmp_path / "out" / "model.safetensors").items():
        assert tensor.dtype is getattr(torch, dtype)
        assert loaded[name].equal(tensor.float())


def _check_rounded_once(got: torch.Tensor, exact: torch.Tensor, what: str) -> None:
    """Asserts that a value is between the roundings of the exact value minus and plus the arithmetic's error."""
    slack = 3e-6 * (1 + exact.abs())
    low, high = (_rounded(exact + sign * slack, got.dtype) for sign in (-1, 1))
    wrong = ~((low <= got.double()) & (got.double() <= high))
    assert not wrong.any(), f"{what}: {got[wrong][:3].tolist()} for {exact[wrong][:3].tolist()}"


def _rounded(exact: torch.Tensor, kind: torch.dtype) -> torch.Tensor:
    """Rounds to the nearest number of a type, ties to even, by searching all of them."""
    if kind.itemsize > 2:
        return exact.to(kind).double()
    bits = torch.arange(2 ** (8 * kind.itemsize - 1), dtype=torch.int32)
    numbers = bits.to(torch.uint16 if kind.itemsize == 2 else torch.uint8).view(kind).double()
    numbers = numbers[numbers.isfinite()]
    above = torch.searchsorted(numbers, exact.abs()).clamp(1, len(numbers) - 1)
    up, down = numbers[above] - exact.abs(), exact.abs() - numbers[above - 1]
    place = torch.where((up < down) | ((up == down) & (above % 2 == 0)), above, above - 1)
    return numbers[place].copysign(exact)
