"""Layers that pass through a window need memory for the window only, and compute the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from stacker.compose import draw_blueprint
from stacker.errors import StackerError
from stacker.live.filling.loading import load_layer
from stacker.live.forecast.memory import predict_memory
from stacker.live.forward_pass import start_pass
from tests.families.oracle import TOKENS, greedy_tokens, logits_of
from tests.live.lives import stack_of, write_donors, write_spec

LIMITED = """
import resource, sys, threading, torch
from pathlib import Path
from stacker.compose import draw_blueprint, load
from stacker.errors import StackerError
from stacker.live.forecast.memory import predict_memory
torch.set_num_threads(1)
threading.stack_size(256 << 10)
tokens = torch.arange(64).reshape(4, 16) % 24
stack, small = load(sys.argv[1]), load(sys.argv[2])
memory = predict_memory(draw_blueprint(stack))
assert memory.weights > 10 * memory.streamed, memory
with torch.no_grad():
    expected = stack.live_stack().model(tokens, use_cache=False).logits.clone()
    small.live_stack(max_memory=predict_memory(draw_blueprint(small)).streamed).model(tokens, use_cache=False)
    import gc; gc.collect()
    data = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmData"))
    limit = (int(data.split()[1]) << 10) + memory.streamed + (16 << 20)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    try:
        load(sys.argv[3]).live_stack()
        sys.exit("the limit does not bind")
    except StackerError as error:
        assert "into memory" in str(error), error
    found = stack.live_stack(max_memory=memory.streamed).model(tokens, use_cache=False).logits
print(torch.equal(found, expected))
"""


@pytest.mark.slow
def test_a_stack_ten_times_the_budget_runs_under_a_real_limit(tmp_path: Path) -> None:
    """With little more memory than the window, the logits are those of the resident stack, which does not fit."""
    sizes = {"hidden": 128, "heads": 4, "kv_heads": 4, "ffn": 352, "dtype": "F32"}
    write_donors(tmp_path, layers=50, **sizes)
    large = write_spec(tmp_path, ["a[0:50]"], "large")
    small, other = write_spec(tmp_path, ["a[0:5]"], "small"), write_spec(tmp_path, ["b[0:50]"], "other")
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(large), str(small), str(other)], capture_output=True, text=True, check=False
    )
    assert done.stdout == "True\n", done.stderr


def test_generation_and_repeated_passes(tmp_path: Path) -> None:
    """A window goes round: every pass, and every token with a cache, finds the right layers."""
    stack = stack_of(write_donors(tmp_path, vocab=64), ["a[0:6]", "b[0:6]", "a[3:6]"])
    limit = predict_memory(draw_blueprint(stack), "float32").streamed
    live, streamed = stack.live_stack(dtype="float32"), stack.live_stack(dtype="float32", max_memory=limit)
    assert greedy_tokens(streamed.model) == greedy_tokens(live.model)
    with torch.no_grad():
        assert torch.equal(streamed.model(TOKENS).logits, live.model(TOKENS).logits)


def test_layers_are_converted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers loads each layer in the first pass; later passes place what was read, and compute the same."""
    stack = stack_of(write_donors(tmp_path, vocab=64), ["a[0:6]", "b[0:6]", "a[3:6]"])
    loaded: list[object] = []

    def load(hollow: Any, state: Any) -> None:
        loaded.append(state)
        load_layer(hollow, state)

    monkeypatch.setattr("stacker.live.filling.streaming.load_layer", load)
    streamed = stack.live_stack(max_memory=predict_memory(draw_blueprint(stack)).streamed)
    expected = logits_of(stack.live_stack().model)
    for _ in range(3):
        assert torch.equal(logits_of(streamed.model), expected)
    assert len(loaded) == len(streamed.layers) == 15


def test_converted_layers_are_loaded_in_each_pass(tmp_path: Path) -> None:
    """Where transformers makes other numbers of what was read, nothing is placed directly."""
    stack = stack_of(write_donors(tmp_path, vocab=64), ["a[0:6]", "b[0:6]"])
    limit = predict_memory(draw_blueprint(stack), "float32").streamed
    streamed, expected = stack.live_stack(dtype="float32", max_memory=limit), stack.live_stack(dtype="float32")
    for _ in range(3):
        assert torch.equal(logits_of(streamed.model), logits_of(expected.model))


def test_single_layers(tmp_path: Path) -> None:
    """The layers of a streamed stack, run one by one, give its logits."""
    stack = stack_of(write_donors(tmp_path, vocab=64), ["a[0:6]", "b[0:6]"])
    streamed = stack.live_stack(dtype="float32", max_memory=predict_memory(draw_blueprint(stack), "float32").streamed)
    forward = start_pass(streamed, TOKENS)
    state = forward.state
    for index in range(len(streamed.layers)):
        state = forward.run_layer(index, state)
    with torch.no_grad():
        assert torch.equal(forward.finish(state), streamed.model(TOKENS, use_cache=False).logits)


def test_an_interrupted_pass_leaves_the_window_usable(tmp_path: Path) -> None:
    """After an error in the middle of the layers, the next pass is right."""
    stack = stack_of(write_donors(tmp_path, vocab=64), ["a[0:6]", "b[0:6]"])
    streamed = stack.live_stack(dtype="float32", max_memory=predict_memory(draw_blueprint(stack), "float32").streamed)
    handle = streamed.layers[5].register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with torch.no_grad():
        expected = stack.live_stack(dtype="float32").model(TOKENS).logits
        with pytest.raises(KeyboardInterrupt):
            streamed.model(TOKENS)
        handle.remove()
        assert torch.equal(streamed.model(TOKENS).logits, expected)


def test_a_donor_that_changes_is_noticed(tmp_path: Path) -> None:
    """A file that is replaced while its layers are streamed ends the pass with an error."""
    stack = stack_of(write_donors(tmp_path, vocab=64), ["a[0:6]"])
    streamed = stack.live_stack(dtype="float32", max_memory=predict_memory(draw_blueprint(stack), "float32").streamed)
    weights = tmp_path / "a" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(StackerError), torch.no_grad():
        streamed.model(TOKENS)
