"""A real language model as a GGUF stack: it computes what the donor's layers compute when rearranged in memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

import stacker
from tests.gguf_donors import read_tensors
from tools import smollm2
from tools.clients.__main__ import HOME
from tools.demo import LAYERS

pytestmark = pytest.mark.slow
CLIENTS = Path(os.environ.get("STACKER_CLIENTS", HOME))
"""Where `make gguf-clients` installs llama.cpp."""
TEXT = "Layers of a cake are baked one after the other, and put on top of each other when they are cold."


def _build(folder: Path, items: str, donor: Path, out: str = "out.gguf") -> Path:
    text = f"stacker: 1\nname: stack\ndonors: {{a: {donor}}}\nstack: {items}\n"
    (folder / "spec.yml").write_text(text, "utf-8")
    stacker.load(folder / "spec.yml").build(folder / out)
    return folder / out


def _load(path: Path) -> Any:
    from transformers import AutoModelForCausalLM, GgufConfig

    dequantised = GgufConfig(dequantize=True)
    return AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, quantization_config=dequantised, dtype=torch.float32
    )


def _logits(checkpoint: Any, tokens: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = checkpoint(tokens, use_cache=False).logits[0]
    return found


@pytest.fixture(scope="module")
def gguf() -> Path:
    try:
        return smollm2.find_gguf()
    except smollm2.MissingPackageError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def tokens(donor: Path) -> torch.Tensor:
    from transformers import AutoTokenizer

    found: torch.Tensor = AutoTokenizer.from_pretrained(donor)(TEXT, return_tensors="pt").input_ids
    return found


def test_the_stack_is_its_layers_rearranged(gguf: Path, tokens: torch.Tensor, tmp_path: Path) -> None:
    """Loaded by transformers and dequantised, the stack has the logits of the donor's layers, to the bit."""
    assert [*range(20), *range(10, 30)] == list(LAYERS)
    out = _build(tmp_path, "['a[0:20]', 'a[10:30]']", gguf)
    expected = _logits(smollm2.rearrange(_load(gguf), LAYERS), tokens)
    assert torch.equal(_logits(_load(out), tokens), expected)
    assert not torch.equal(_logits(_load(gguf), tokens), expected)


def test_a_hop_is_a_hook(gguf: Path, tokens: torch.Tensor, tmp_path: Path) -> None:
    """A hop of 0.5 before layer 20 computes what the donor computes with that factor on the layer's input."""
    out = _build(tmp_path, "['a[0:20]', {slice: 'a[20:30]', hop: 0.5}]", gguf)
    checkpoint = _load(gguf)
    plain = _logits(checkpoint, tokens)
    layer = checkpoint.model.layers[20]
    layer.register_forward_pre_hook(lambda _, args, named: ((args[0] * 0.5, *args[1:]), named), with_kwargs=True)
    expected = _logits(checkpoint, tokens)
    difference = (_logits(_load(out), tokens) - expected).abs().max()
    assert difference < 1e-3 * expected.abs().max()
    assert (plain - expected).abs().max() > 0.05 * expected.abs().max()


@pytest.mark.skipif(not (CLIENTS / "logits").is_file(), reason="`make gguf-clients` compiles llama.cpp")
def test_llama_cpp_computes_what_its_converter_leads_to(donor: Path, tmp_path: Path) -> None:
    """The stack of a converted donor equals the converted stack: in all tensors, and in the logits of llama.cpp."""
    from tools.clients.programs import convert_checkpoint, run_gguf

    convert_checkpoint(CLIENTS, donor, tmp_path / "donor.gguf")
    stacked = _build(tmp_path, "['a[0:20]', 'a[10:30]']", tmp_path / "donor.gguf")
    checkpoint = _build(tmp_path, "['a[0:20]', 'a[10:30]']", donor, "checkpoint")
    convert_checkpoint(CLIENTS, checkpoint, tmp_path / "converted.gguf")
    assert read_tensors(stacked) == read_tensors(tmp_path / "converted.gguf")
    found, expected = (run_gguf(CLIENTS, path) for path in (stacked, tmp_path / "converted.gguf"))
    assert torch.equal(found, expected)
