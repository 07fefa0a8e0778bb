"""What llama.cpp computes for each layer must follow the layer: twenty architectures, by the code of its loaders.

The expected values are written here from src/models/*.cpp of llama.cpp b11434, independently of architectures/.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from stacker.arch.families import list_families
from stacker.arch.gguf import find_gguf_architecture, list_gguf_names
from stacker.compose import Stack, load
from stacker.errors import StackerError, select_errors
from tests.gguf_donors import read_metadata, write_gguf

DEPTH = 12
ODD = ("a[0:7]", "a[4:12]")
ODD_LAYERS = (*range(7), *range(4, 12))
WHOLE = ("a[0:12]", "a[0:12]")
OfLayer = Callable[[int], Any]


@dataclass(frozen=True)
class Case:
    """An architecture: metadata of the donor, and a property of each layer that `key` must state for the stack."""

    arch: str
    keys: dict[str, Any] = field(default_factory=dict)
    key: str = ""
    of_layer: OfLayer = bool
    refused: str = ""
    items: Sequence[str] = ODD
    works: Sequence[str] = ()


def swa(period: int, *, first: bool = False) -> OfLayer:
    """llama_hparams::set_swa_pattern"""
    return (lambda i: i % period != 0) if first else (lambda i: i % period < period - 1)


SWA = "attention.sliding_window_pattern"
WINDOW = {"attention.sliding_window": 32}
RECURRENT = "attention.recurrent_layers"
HEADS = [4 if i % 4 == 3 else 0 for i in range(DEPTH)]
CASES = [
    Case("llama"),
    Case("qwen2"),
    Case("gemma2", WINDOW, SWA, swa(2)),
    Case("gemma3", WINDOW, SWA, swa(6)),
    Case("cohere2", WINDOW, SWA, swa(4)),
    Case("cohere2moe", WINDOW, SWA, swa(4, first=True)),
    Case("gpt-oss", WINDOW, SWA, swa(2)),
    Case("olmo2", WINDOW, SWA, swa(4)),
    Case("olmo2", {**WINDOW, SWA: 3}, SWA, swa(3)),
    Case("gemma4", {**WINDOW, SWA: [i % 5 != 4 for i in range(DEPTH)]}, SWA, lambda i: i % 5 != 4),
    Case("mimo2", {**WINDOW, SWA: [i % 3 == 0 for i in range(DEPTH)]}, SWA, lambda i: i % 3 == 0),
    Case("plamo3", WINDOW, SWA, swa(8)),
    Case("qwen3next", {"full_attention_interval": 4}, RECURRENT, lambda i: (i + 1) % 4 != 0),
    Case("qwen35", {"full_attention_interval": 3}, RECURRENT, lambda i: (i + 1) % 3 != 0),
    Case("qwen35moe", {RECURRENT: [i % 5 == 0 for i in range(DEPTH)]}, RECURRENT, lambda i: i % 5 == 0),
    Case("granitehybrid", {"attention.head_count_kv": HEADS}, "attention.head_count_kv", HEADS.__getitem__),
    Case("lfm2", {"attention.head_count_kv": HEADS}, "attention.head_count_kv", HEADS.__getitem__),
    Case("nemotron_h", {"feed_forward_length": [i * 8 for i in range(12)]}, "feed_forward_length", lambda i: i * 8),
    Case("apertus", {"xielu.alpha_p": [i / 8 for i in range(12)]}, "xielu.alpha_p", lambda i: i / 8),
    Case("smollm3", refused="rotates queries", works=("a[0:8]", "a[4:12]")),
    Case("llama4", WINDOW, refused="rotates queries", works=("a[0:8]", "a[4:12]")),
    Case("afmoe", WINDOW, refused="rotates queries", works=("a[0:8]", "a[4:12]")),
    Case("deepseek2", {"leading_dense_block_count": 3}, refused="experts must come first", items=WHOLE, works=ODD),
    Case("minimax-01", refused="decay of linear attention", works=("a[0:12]",)),
    Case("gemma3n", WINDOW, refused="share keys and values", works=("a[0:12]",)),
    Case("rwkv7", refused="tensors that no other layer has", items=WHOLE, works=ODD),
    Case("t5", refused="encoder-decoder"),
]


def stack_of(home: Path, items: Sequence[str]) -> Stack:
    text = f"stacker: 1\nname: x\ndonors: {{a: a.gguf}}\nstack: {json.dumps(list(items))}\n"
    (home / "spec.yml").write_text(text)
    return load(home / "spec.yml")


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.arch}-{len(case.keys)}")
def test_what_the_loader_reads_follows_the_layers(case: Case, tmp_path: Path) -> None:
    """The array that llama.cpp reads states each layer's property at its new place; without one, it is refused."""
    write_gguf(tmp_path / "a.gguf", arch=case.arch, layers=DEPTH, keys=case.keys, head=False)
    if case.refused:
        with pytest.raises(StackerError, match=case.refused):
            stack_of(tmp_path, case.items).plan()
        assert not case.works or not select_errors(stack_of(tmp_path, case.works).problems)
        return
    stack = stack_of(tmp_path, case.items)
    stack.build(tmp_path / "out.gguf")
    found = read_metadata(tmp_path / "out.gguf")
    assert found[f"{case.arch}.block_count"] == len(ODD_LAYERS)
    if case.key:
        assert found[f"{case.arch}.{case.key}"] == [case.of_layer(layer) for layer in ODD_LAYERS]


def test_layers_of_further_prediction_are_dropped(tmp_path: Path) -> None:
    """`block_count` includes them in llama.cpp; a stack has none, and says so."""
    keys = {"nextn_predict_layers": 1, SWA: [True] * 11 + [False], **WINDOW}
    write_gguf(tmp_path / "a.gguf", arch="mimo2", layers=DEPTH, keys=keys)
    stack = stack_of(tmp_path, ("a[0:11]", "a[5:11]"))
    stack.build(tmp_path / "out.gguf")
    found = read_metadata(tmp_path / "out.gguf")
    assert (found["mimo2.block_count"], found["mimo2.nextn_predict_layers"]) == (17, 0)
    assert len(found[f"mimo2.{SWA}"]) == 17


def test_an_unknown_architecture_is_said_to_be_unknown(tmp_path: Path) -> None:
    """Lists with an entry for each layer follow the layers, and a warning says what nobody has looked at."""
    write_gguf(tmp_path / "a.gguf", arch="newest", layers=DEPTH, keys={"some.list": [7 * i + 5 for i in range(DEPTH)]})
    stack = stack_of(tmp_path, ODD)
    assert any("unknown to stacker" in problem.message for problem in stack.problems)
    stack.build(tmp_path / "out.gguf")
    assert read_metadata(tmp_path / "out.gguf")["newest.some.list"] == [7 * i + 5 for i in ODD_LAYERS]


def test_every_section_is_read() -> None:
    """The section `gguf` of every family parses, and no two families describe one architecture."""
    names = [name for family in list_families() for name in list_gguf_names(family)]
    assert len(names) == len(set(names)) > 60
    for name in names:
        found = find_gguf_architecture({"general.architecture": name, f"{name}.block_count": 4}, {})
        assert not found.inferred
