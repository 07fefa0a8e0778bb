"""Live stacks of every family compute what built checkpoints compute, also when streamed or taken layer by layer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from stacker.compose import Stack
from stacker.core.stack.graph import find_segments
from stacker.errors import SpecError, select_errors
from stacker.live.forecast.memory import predict_memory
from stacker.live.forward_pass import start_pass
from stacker.live.live_stack import LiveStack
from tests.families.cases import Case
from tests.families.oracle import TOKENS, greedy_tokens, logits_of, write_donor
from tests.families.stacks import BLEND, STACKS
from tests.families.test_table import TABLE
from tests.families.tiny import tiny_case
from tests.families.wrappers import wrapper_case, wrapper_families
from tests.live.lives import aligned, built, distinct_bytes, stack_of

TRIED = {**{name: items for name, (items, _) in STACKS.items()}, "blend": BLEND}
FIRST = ("llama", "mixtral", "gemma3n_text", "deepseek_v3", "mamba2", "gpt2", "llava", "falcon", "llama4")
"""Families that differ in names, experts, tables outside the layers, states, wrappers and configs."""
UNCACHED = frozenset(TABLE) - {"mllama"}
"""Families that transformers runs without a cache; in mllama, layers that see pictures need one."""
WHOLE = frozenset({"zamba", "zamba2", "zaya"})
"""Families that cannot be streamed."""
LINKED = frozenset({"glm_moe_dsa", "hy_v4", "mistral_large4", "zaya"})
"""Families whose layers pass on more than the residual stream."""
ORDERED = [*FIRST, *(name for name in TABLE if name not in FIRST)]

pytestmark = pytest.mark.filterwarnings("ignore")


def find_case(name: str) -> Case:
    return wrapper_case(name) if name in wrapper_families() else tiny_case(name)


def sound_stacks(home: Path, family: str) -> Iterator[tuple[str, Stack]]:
    """The stacks of the table that the family allows; of most families two, to save time."""
    for name in TRIED if family in FIRST else ("cross", "blend"):
        stack = stack_of(home, TRIED[name])
        if not select_errors(stack.problems):
            yield name, stack


@pytest.mark.parametrize(
    "family", [pytest.param(name, marks=[pytest.mark.slow] if name not in FIRST else []) for name in ORDERED]
)
def test_live_is_as_built(family: str, tmp_path: Path) -> None:
    """Logits and cached greedy tokens equal the built checkpoint's, and equal layers take memory once."""
    case = find_case(family)
    for seed, name in enumerate("ab"):
        write_donor(case, tmp_path / name, seed)
    for name, stack in sound_stacks(tmp_path, family):
        expected = built(stack, tmp_path / name, case.auto)
        live = stack.live_stack(dtype="float32")
        assert len(live.layers) == sum(map(len, find_segments(stack.graph))), name
        if type(live.model) is type(expected) and family != "minimax":  # it stores values that it computes anew
            predicted = predict_memory(live.blueprint, "float32").weights
            assert distinct_bytes(live.model) == pytest.approx(predicted, rel=0.02), name
        aligned(live.model)
        assert same(family, logits_of(live.model), logits_of(expected)), name
        assert greedy_tokens(live.model) == greedy_tokens(expected), name
        check_streamed(family, stack, live)
        if family in UNCACHED:
            check_layer_by_layer(live)


def same(family: str, one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether logits are equal; RWKV's only nearly, because a live stack does not rescale its weights."""
    return torch.allclose(one, other, rtol=1e-3, atol=1e-4) if family == "rwkv" else torch.equal(one, other)


def check_layer_by_layer(live: LiveStack) -> None:
    """The logits of a forward pass in steps equal those of a whole one."""
    forward = start_pass(live, TOKENS)
    assert forward.linked == (live.model.config.model_type in LINKED)
    if forward.linked:
        with pytest.raises(SpecError, match="pass on more than the residual stream"):
            forward.run_layer(0, forward.state)
        return
    state = forward.state
    for index in range(len(live.layers)):
        state = forward.run_layer(index, state)
    with torch.no_grad():
        expected = live.model(TOKENS, use_cache=False).logits
    assert torch.equal(forward.finish(state), expected)


def check_streamed(family: str, stack: Stack, live: LiveStack) -> None:
    """Layers that pass through a window compute the same, or are refused."""
    memory = predict_memory(live.blueprint, "float32")
    if memory.streamed >= memory.weights:
        return
    if family in WHOLE:
        with pytest.raises(SpecError, match="cannot be streamed"):
            stack.live_stack(dtype="float32", max_memory=memory.streamed)
    else:
        streamed = stack.live_stack(dtype="float32", max_memory=memory.streamed)
        expected = logits_of(live.model)
        assert torch.equal(logits_of(streamed.model), expected)
        assert torch.equal(logits_of(streamed.model), expected), "once more, as layers may be placed directly now"
