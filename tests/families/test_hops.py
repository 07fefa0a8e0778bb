"""Hops of every family that allows them equal hooks that multiply what enters the layers in transformers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from stacker.compose import Stack
from stacker.compose import load as load_stack
from stacker.errors import select_errors
from tests.families.cases import FURTHER, KNOWN, Case
from tests.families.oracle import layers_of, load, logits_of, write_donor
from tests.families.tiny import decoder_families, tiny_case
from tests.families.wrappers import wrapper_case, wrapper_families

CASES: dict[str, Case] = {
    **{f"{name}, tiny": tiny_case(name) for name in decoder_families()},
    **{f"{name}, wrapper": wrapper_case(name) for name in wrapper_families()},
    **KNOWN,
    **FURTHER,
}
EPSILONS = ("eps", "epsilon", "variance_epsilon", "norm_eps", "layer_norm_epsilon", "rms_norm_eps")
HOPS: dict[str, dict[int, float]] = {
    "inside": {2: 0.7, 3: 0.8, 5: 1.9},
    "from the first layer": {0: 0.6, 1: 1.25, 4: 0.5},
}
"""The factors by layer; together the stacks have one before each layer."""
TOLERANCE = 1e-3
"""The largest difference allowed, as a share of the largest logit; a layer that is not folded makes 1e-2 and more."""
REFUSED: dict[str, str] = {}
"""The reason of each described family that refuses hops, by model type, as transformers' code shows it."""


@contextmanager
def hooked(model: PreTrainedModel, hops: Mapping[int, float]) -> Iterator[None]:
    """Multiply the hidden states that enter the layers of a model by the factors in `hops`."""

    def multiply(factor: float) -> Any:
        def before(_: torch.nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
            if args:
                return (args[0] * factor, *args[1:]), named
            return args, named | {"hidden_states": named["hidden_states"] * factor}

        return before

    layers = layers_of(model)
    handles = [layers[at].register_forward_pre_hook(multiply(hop), with_kwargs=True) for at, hop in hops.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def without_epsilon(model: PreTrainedModel) -> PreTrainedModel:
    """The model with norms that add next to nothing, since a hop is exact up to the norms' epsilon."""
    for module in model.modules():
        own: dict[str, Any] = vars(module)
        own.update({name: 1e-12 for name in EPSILONS if isinstance(own.get(name), float)})
    return model


def stack_of(home: Path, hops: Mapping[int, float]) -> Stack:
    """A stack of all layers of donor `a`, with the hops."""
    items = [{"slice": f"a[{layer}]", "hop": hops.get(layer, 1)} for layer in range(6)]
    path = home / "spec.yml"
    path.write_text(f"stacker: 1\nname: test\ndonors: {{a: ./a}}\nstack: {json.dumps(items)}\n")
    return load_stack(path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("hops", HOPS.values(), ids=HOPS)
@pytest.mark.parametrize("name", CASES)
def test_hops_equal_hooks(name: str, hops: dict[int, float], tmp_path: Path) -> None:
    """A family either computes what hooks compute, or refuses for a reason that is written in its file."""
    case = CASES[name]
    donor = write_donor(case, tmp_path / "a", 0)
    stack = stack_of(tmp_path, hops)
    errors = select_errors(stack.problems)
    if errors:
        reasons = [problem.message for problem in errors if "cannot have a hop" in problem.message]
        assert len(reasons) == len(errors), errors
        pytest.skip("; ".join(reasons))
    stack.build(tmp_path / "out")
    model, built = (without_epsilon(load(folder, case.auto)) for folder in (donor, tmp_path / "out"))
    plain = logits_of(model)
    with hooked(model, hops):
        expected = logits_of(model)
    scale = expected.abs().max().item()
    difference, effect = ((built_ - expected).abs().max().item() for built_ in (logits_of(built), plain))
    print(f"RESULT {name}: {difference / scale:.1e}, effect {effect / scale:.1e}")
    assert difference < TOLERANCE * scale
    assert effect > 3 * TOLERANCE * scale
