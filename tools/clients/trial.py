"""Builds tiny stacks of one family and compares what a program computes with its verdict about them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from stacker.compose import Stack, build, load
from stacker.core.clients.verdicts import Answer
from stacker.errors import StackerError, select_errors
from tests.families.cases import Case, Config
from tests.families.oracle import load as load_reference
from tests.families.oracle import write_donor
from tests.families.tiny import tiny_entries

DEPTH = 12
PROMPT = tuple((7 * place * place + 3) % 60 + 3 for place in range(40))
"""Longer than the windows of the donors, so that a wrong kind of attention changes the logits."""
TOLERANCE = 0.05
"""The largest difference of logits, by their largest value, that counts as the same result.

llama.cpp computes GELU with 16 bits, which the random weights amplify to 0.02; wrong results differ by 0.3 and more.
"""
DONOR = "donor"
"""The stack that is the whole first donor."""
STACKS: Mapping[str, tuple[str, ...]] = {
    DONOR: ("a",),
    "odd": ("a[0:7]", "a[4:12]"),
    "period": ("a[0:8]", "a[2:12]"),
    "cross": ("a[0:6]", "b[6:12]"),
    "ends": ("a[0:6]", "b[6:12]", "head: a"),
}
OWN_ENTRIES: Mapping[str, Config] = {
    "gemma2": {"query_pre_attn_scalar": 8},
    "gemma3_text": {"query_pre_attn_scalar": 8},
    "cohere2": {"rotary_pct": 1.0},
    "gpt_oss": {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}},
    "mistral": {"sliding_window": None},
    "mixtral": {"sliding_window": None},
    "phi3": {"sliding_window": None},
    "stablelm": {"tie_word_embeddings": False},
    "llama4_text": {"attention_chunk_size": 8192, "interleave_moe_layer_step": 2},
}
"""Entries that make a program right about the donor itself, where the usual tiny donor would not be."""

Run = Callable[[Path], torch.Tensor]
"""Computes the logits [tokens, vocabulary] of a checkpoint; subprocess.CalledProcessError if the program refuses it."""


@dataclass(frozen=True, slots=True)
class Result:
    """What was predicted and seen for one program and one stack; the difference is relative to the largest logit."""

    stack: str
    client: str
    predicted: Answer
    seen: Answer
    difference: float | None

    @property
    def agrees(self) -> bool:
        return self.predicted is Answer.UNKNOWN or self.predicted is self.seen


def try_family(name: str, runs: Mapping[str, Run], home: Path) -> Iterator[Result]:
    """The results of all stacks of a family for each program in `runs`; stacks that are refused are left out."""
    entries = {key: value for key, value in tiny_entries(name).items() if not isinstance(value, list)}
    case = Case(name, entries | {"num_hidden_layers": DEPTH} | OWN_ENTRIES.get(name, {}))
    for seed, donor in enumerate("ab"):
        write_donor(case, home / donor, seed)
        add_vocabulary(home / donor)
    for stack, items in STACKS.items():
        loaded = _load_stack(home, items)
        if not select_errors(loaded.problems):
            yield from _try_stack(stack, loaded, runs, home / stack)


def add_vocabulary(folder: Path) -> None:
    size = json.loads((folder / "config.json").read_text())["vocab_size"]
    words = {"model": {"vocab": {f"w{word}": word for word in range(size)}}, "added_tokens": []}
    (folder / "tokenizer.json").write_text(json.dumps(words))


def _load_stack(home: Path, items: Sequence[str]) -> Stack:
    slices = [item for item in items if ":" not in item or "[" in item]
    others = [item for item in items if item not in slices]
    spec = home / "spec.yml"
    lines = ["stacker: 1", "name: tried", "donors: {a: ./a, b: ./b}", f"stack: {json.dumps(slices)}", *others]
    spec.write_text("\n".join(lines))
    return load(spec)


def _try_stack(name: str, stack: Stack, runs: Mapping[str, Run], folder: Path) -> Iterator[Result]:
    try:
        build(stack, folder)
    except StackerError:
        return
    add_vocabulary(folder)
    with torch.inference_mode():
        expected = load_reference(folder)(torch.tensor([PROMPT])).logits[0]
    for verdict in stack.verdicts():
        if verdict.client in runs:
            seen, difference = _compare(runs[verdict.client], folder, expected)
            yield Result(name, verdict.client, verdict.answer, seen, difference)


def _compare(run: Run, folder: Path, expected: torch.Tensor) -> tuple[Answer, float | None]:
    try:
        found = run(folder)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return Answer.FAILS, None
    difference = ((found - expected).abs().max() / expected.abs().max()).item()
    return (Answer.RIGHT if difference < TOLERANCE else Answer.WRONG), difference
