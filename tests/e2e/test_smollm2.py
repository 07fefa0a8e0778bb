"""A real language model, stacked: what is written computes what its layers compute when rearranged in memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import stacker
from tools import smollm2
from tools.demo import LAYERS, SPEC

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stack(donor: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's stack of the donor, 40 layers, as built."""
    folder = tmp_path_factory.mktemp("smollm2")
    (folder / "smollm2").symlink_to(donor)
    (folder / "stack.yml").write_text(SPEC, encoding="utf-8")
    out = folder / "out"
    stacker.load(folder / "stack.yml").build(out)
    return out


def test_the_donor_is_sound(donor: Path) -> None:
    """The donor made of the GGUF reads English and knows its facts, so that it is worth comparing with."""
    checkpoint, tokenizer = smollm2.load(donor)
    assert smollm2.perplexity(*smollm2.logits_of(checkpoint, tokenizer, smollm2.english())) < 20
    assert "Paris" in smollm2.answer(checkpoint, tokenizer, "What is the capital of France?", length=12)


def test_the_stack_is_its_layers_rearranged(donor: Path, stack: Path) -> None:
    """Logits and perplexity of the stack equal, to the bit, those of the donor with its layers rearranged in memory."""
    expected, tokens = smollm2.logits_of(*_rearranged(donor), smollm2.english())
    found, found_tokens = smollm2.logits_of(*smollm2.load(stack), smollm2.english())
    assert torch.equal(found_tokens, tokens)
    assert torch.equal(found, expected)
    assert smollm2.perplexity(found, tokens) == smollm2.perplexity(expected, tokens)


def test_the_stack_is_not_the_donor(donor: Path, stack: Path) -> None:
    """The comparison above can fail: ten layers more change the logits."""
    assert not torch.equal(*(smollm2.logits_of(*smollm2.load(path), "Layers of a cake")[0] for path in (donor, stack)))


def _rearranged(donor: Path) -> tuple[object, object]:
    checkpoint, tokenizer = smollm2.load(donor)
    return smollm2.rearrange(checkpoint, LAYERS), tokenizer


def test_a_hop_is_a_hook(donor: Path, tmp_path: Path) -> None:
    """A hop of 0.7 before layer 20 computes what the donor computes with that factor on the layer's input, in fp32."""
    (tmp_path / "smollm2").symlink_to(donor)
    items = "stack: ['smollm2[0:20]', {slice: 'smollm2[20:30]', hop: 0.7}]\noutput: {dtype: float32}\n"
    (tmp_path / "hop.yml").write_text(f"stacker: 1\nname: hop\ndonors: {{smollm2: ./smollm2}}\n{items}", "utf-8")
    stacker.load(tmp_path / "hop.yml").build(tmp_path / "out")
    checkpoint, tokenizer = smollm2.load(donor)
    plain, _ = smollm2.logits_of(checkpoint.float(), tokenizer, smollm2.english())
    layer = checkpoint.model.layers[20]
    layer.register_forward_pre_hook(lambda _, args, named: ((args[0] * 0.7, *args[1:]), named), with_kwargs=True)
    expected, _ = smollm2.logits_of(checkpoint, tokenizer, smollm2.english())
    found, _ = smollm2.logits_of(*smollm2.load(tmp_path / "out"), smollm2.english())
    difference, effect, scale = ((found - expected).abs().max(), (plain - expected).abs().max(), expected.abs().max())
    assert difference < 1e-4 * scale
    assert effect > 0.05 * scale
