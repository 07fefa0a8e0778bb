"""Stacks of one donor as layer ranges: peft makes the same stack of them, and other stacks are refused with reasons."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from stacker.compose import Stack, load
from stacker.core.clients.layer_ranges import to_exllamav3, to_peft
from stacker.errors import SpecError
from tests.donors import write_llama


@pytest.fixture
def stack_of(tmp_path: Path) -> Callable[..., Stack]:
    """A function that loads a stack of the donors `a` and `b`, which have six layers."""
    for seed, name in enumerate("ab"):
        write_llama(tmp_path / name, seed=seed, dtype="F32")

    def make(items: list[Any], **more: Any) -> Stack:
        donors = {"a": "./a", "b": "./b"}
        (tmp_path / "s.yml").write_text(json.dumps({"stacker": 1, "donors": donors, "stack": items, **more}))
        return load(tmp_path / "s.yml")

    return make


def _write(write: Callable[..., str], stack: Stack) -> str:
    return write(stack.spec, stack.graph, stack.donors, stack.config)


def test_exllamav3(stack_of: Callable[..., Stack]) -> None:
    """Ranges include their last layer; neighbouring slices are one range."""
    assert _write(to_exllamav3, stack_of(["a[0:2]", "a[2:4]", "a[1:6]", "a[5]"])) == "0..3,1..5,5..5\n"


def test_peft_makes_the_same_stack(stack_of: Callable[..., Stack], tmp_path: Path) -> None:
    """peft's model of the donor with this config computes what the built stack computes."""
    peft = pytest.importorskip("peft")
    from transformers import AutoModelForCausalLM

    stack = stack_of(["a[0:4]", "a[2:6]"])
    entries = json.loads(_write(to_peft, stack))
    assert entries["layer_replication"] == [[0, 4], [2, 6]]
    stack.build(tmp_path / "out")
    tokens = torch.tensor([[1, 5, 9, 3]])
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        base = AutoModelForCausalLM.from_pretrained(tmp_path / "a", dtype=torch.float32)
        found = peft.get_peft_model(base, peft.LoraConfig(**entries))(tokens, use_cache=False).logits
        wanted = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)(tokens).logits
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


REFUSED: dict[str, tuple[list[Any], dict[str, Any], str]] = {
    "two donors": (["a[0:3]", "b[3:6]"], {}, "are of one donor, and this stack is of a, b"),
    "another head": (["a[0:3]"], {"head": "b"}, "are of one donor"),
    "factors": ([{"slice": "a", "scale": {"attn.o": 0.5}}], {}, "have no factors"),
    "hop": (["a[0:2]", {"slice": "a[2:4]", "hop": 0.5}], {}, "have no hops"),
    "blend": ([{"blend": ["a[0:2]", "a[2:4]"], "op": "linear"}], {}, "have no blends"),
    "dtype": (["a[0:3]"], {"output": {"dtype": "bfloat16"}}, "cast no tensors"),
}


@pytest.mark.parametrize(("items", "more", "reason"), REFUSED.values(), ids=REFUSED)
def test_refused(stack_of: Callable[..., Stack], items: list[Any], more: dict[str, Any], reason: str) -> None:
    """Whatever is not an order of one donor's layers is refused with the reason."""
    with pytest.raises(SpecError, match=re.escape(reason)):
        _write(to_exllamav3, stack_of(items, **more))
