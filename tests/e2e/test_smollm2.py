"""A real language model, stacked: what is written computes what its layers compute when rearranged in memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import stacker
from tests.house import ROOT
from tools import smollm2
from tools.demo import LAYERS, SPEC

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def donor() -> Path:
    """The real donor, made once a checkout; skips where its package cannot be had."""
    (ROOT / "build").mkdir(exist_ok=True)
    try:
        return smollm2.make_donor(ROOT / "build" / "smollm2")
    except smollm2.MissingPackageError as error:
        pytest.skip(str(error))


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
