"""Empty models are made once for each config, and every stack gets a copy of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaForCausalLM

from stacker.live.filling import empty_models
from stacker.live.filling.empty_models import copy_model
from tests.families.oracle import TOKENS, greedy_tokens, logits_of
from tests.live.lives import aligned, built, stack_of, write_donors, write_spec


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with two donors."""
    return write_donors(tmp_path, vocab=64)


def test_a_config_that_is_known_is_not_made_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another stack of the same depth computes what its build computes, and transformers makes no model for it."""
    live = stack_of(home, ["a[0:6]"]).live_stack(dtype="float32")
    stack = stack_of(home, ["a[0:2]", {"blend": ["a[2:4]", "b[2:4]"], "op": "linear"}, "b[4:6]"], "other")
    expected = built(stack, home / "out")
    monkeypatch.setattr(LlamaForCausalLM, "from_pretrained", None)
    other = live.rearranged(stack)
    assert torch.equal(logits_of(aligned(other.model)), logits_of(expected))
    assert greedy_tokens(other.model) == greedy_tokens(expected)


def test_models_of_one_config_are_independent(home: Path) -> None:
    """A hook, a setting or a buffer that is changed in one model changes nothing in the next."""
    live = stack_of(home, ["a"]).live_stack(dtype="float32")
    before = logits_of(live.model)
    layers: Any = live.layers
    layers[0].register_forward_hook(lambda _module, _arguments, result: result * 2)
    live.model.config.rms_norm_eps = layers[1].input_layernorm.variance_epsilon = 100.0
    live.model.model.rotary_emb.inv_freq.zero_()
    live.model.config.tie_word_embeddings = True
    other = live.rearranged(write_spec(home, ["a"], "same"))
    assert not torch.equal(logits_of(live.model), before)
    assert torch.equal(logits_of(other.model), before)


def test_only_the_last_models_are_kept(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more configs than are kept, the one that was used longest ago is made anew."""
    monkeypatch.setattr(empty_models, "_KEPT", 2)
    made: list[int] = []
    make = empty_models._make_empty

    def record(*given: Any) -> Any:
        made.append(given[0]["num_hidden_layers"])
        return make(*given)

    monkeypatch.setattr(empty_models, "_make_empty", record)
    live = stack_of(home, ["a[0:2]"]).live_stack()
    for depth in (3, 2, 4, 2, 3):
        live.rearranged(write_spec(home, [f"a[0:{depth}]"], f"of-{depth}"))
    assert made == [2, 3, 4, 3]


def test_copies_compute_the_same(home: Path) -> None:
    """A copy of a loaded model has modules of its own, and equal parameters and logits."""
    model = stack_of(home, ["a"]).live_stack(dtype="float32").model
    logits = logits_of(model)
    model.live_stack.release()
    copied = copy_model(model)
    assert not {*map(id, model.modules())} & {*map(id, copied.modules())}
    assert copied.model.layers[2].self_attn.layer_idx == 2
    for parameter in model.parameters():
        parameter.data = torch.zeros_like(parameter)
    assert torch.equal(logits_of(copied), logits)
    assert copied(TOKENS).logits.shape == logits.shape
