"""A forward pass in steps sees every state, and lets states enter other layers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from stacker.live.forward_pass import start_pass
from stacker.live.live_stack import LiveStack
from tests.live.lives import stack_of, write_donors

TOKENS = torch.arange(24).reshape(2, 12)


@pytest.fixture
def live(tmp_path: Path) -> LiveStack:
    """A live stack of six layers in fp32."""
    return stack_of(write_donors(tmp_path), ["a"]).live_stack(dtype="float32")


def test_states_are_the_hidden_states(live: LiveStack) -> None:
    """The states before each layer are those that transformers returns as hidden states."""
    with torch.no_grad():
        expected = live.model(TOKENS, output_hidden_states=True, use_cache=False).hidden_states
    forward = start_pass(live, TOKENS)
    state = forward.state
    for index in range(6):
        assert torch.equal(state, expected[index])
        state = forward.run_layer(index, state)


def test_dropped_and_repeated_layers_are_those_of_a_stack(live: LiveStack, tmp_path: Path) -> None:
    """Layers may be left out or run again, with the logits of the stack that does the same."""
    for items, path in ((["a[0:2]", "a[4:6]"], [0, 1, 4, 5]), (["a[0:4]", "a[2:6]"], [0, 1, 2, 3, 2, 3, 4, 5])):
        other = live.rearranged(stack_of(tmp_path, list(items), "other"))
        with torch.no_grad():
            expected = other.model(TOKENS, use_cache=False).logits
        forward = start_pass(live, TOKENS)
        state = forward.state
        for index in path:
            state = forward.run_layer(index, state)
        assert torch.equal(forward.finish(state), expected)


def test_the_model_is_as_before(live: LiveStack) -> None:
    """After a forward pass in steps, and after an error in one, the model has its own layers."""
    with torch.no_grad():
        before = live.model(TOKENS).logits
        forward = start_pass(live, TOKENS)
        with pytest.raises(RuntimeError):
            forward.finish(torch.zeros(2, 12, 5))
        assert torch.equal(live.model(TOKENS).logits, before)
    assert [*live.model.state_dict()] == [name for name, _ in live.model.named_parameters(remove_duplicate=False)]


def test_only_some_logits(live: LiveStack) -> None:
    """Options such as `logits_to_keep` go to the model."""
    forward = start_pass(live, TOKENS)
    assert forward.finish(forward.state, logits_to_keep=1).shape == (2, 1, 24)
