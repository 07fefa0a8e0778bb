"""Logits that are computed a few rows at a time are those of the model, whatever a family does behind its head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from stacker.live.forward_pass import start_pass
from stacker.live.head import find_head, replace_forward
from tests.families.oracle import TOKENS, write_donor
from tests.live.lives import stack_of, write_donors
from tests.live.test_families import FIRST, find_case

CAPPED = ("gemma2", "cohere", "granite", "minicpm3", "grok", "nemotron_h", "gemma4_text", "bloom", "gpt_neox")
"""Families that scale or cap logits, or whose heads have other names."""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", sorted({*FIRST, *CAPPED} - {"grok"}))
def test_rows_give_the_logits(family: str, tmp_path: Path) -> None:
    """From a whole forward pass and from one in steps, three rows at a time."""
    case = find_case(family)
    write_donor(case, tmp_path / "a", 0)
    live = stack_of(tmp_path, ["a"], donors={"a": "./a"}).live_stack(dtype="float32")
    tokens = TOKENS[:, :8].reshape(2, 4)
    with torch.no_grad():
        expected = live.model(tokens, use_cache=False).logits.flatten(0, 1)
    head = find_head(live)
    assert head.module is not None
    forward = start_pass(live, tokens)
    state = forward.state
    for index in range(len(live.layers)):
        state = forward.run_layer(index, state)
    for rows in (head.read_rows(tokens), head.finish_rows(forward, state)):
        found = torch.cat([head.compute_logits(some) for some in torch.split(rows, 3)])
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_a_model_without_a_head_module(tmp_path: Path) -> None:
    """Where the output embeddings are not called as a module, rows are the logits."""
    live = stack_of(write_donors(tmp_path), ["a"]).live_stack(dtype="float32")
    with torch.no_grad():
        expected = live.model(TOKENS % 24, use_cache=False).logits[0]
    live.model.get_output_embeddings = lambda: None
    head = find_head(live)
    assert head.module is None
    assert torch.equal(head.compute_logits(head.read_rows(TOKENS % 24)), expected)


def test_the_model_is_as_before(tmp_path: Path) -> None:
    """After an error too, the head has its own function."""
    live = stack_of(write_donors(tmp_path), ["a"]).live_stack(dtype="float32")
    module: Any = live.model.lm_head
    head = find_head(live)
    with pytest.raises(RuntimeError, match="shape"):
        head.compute_logits(torch.zeros(3, 5))
    with pytest.raises(KeyError), replace_forward(module, lambda own, state: own(state)):
        raise KeyError
    assert "forward" not in module.__dict__
    assert [*live.layers.named_modules()][1][1].__class__.__name__ == "LlamaDecoderLayer"
