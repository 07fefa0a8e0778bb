"""Stacks tiny GGUF files of one family, and compares what llama.cpp computes with the same layers rearranged by hand.

The donors are tiny checkpoints that llama.cpp's own converter has turned into GGUF files. A stack of them must compute
what transformers computes for the stack of the checkpoints, or be refused.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from stacker.compose import build, load
from stacker.errors import StackerError, select_errors
from tests.families.cases import Case
from tests.families.oracle import load as load_reference
from tests.families.oracle import write_donor
from tests.families.tiny import tiny_entries
from tools.clients.trial import DEPTH, OWN_ENTRIES, PROMPT, TOLERANCE, add_vocabulary

STACKS = {
    "donor": ("a",),
    "odd": ("a[0:7]", "a[4:12]"),
    "period": ("a[0:8]", "a[2:12]"),
    "cross": ("a[0:6]", "b[6:12]"),
    "ends": ("a[0:6]", "b[6:12]", "head: a"),
    "twice": ("a[0:12]", "a[0:12]"),
}
Convert = Callable[[Path, Path], None]
"""Converts a checkpoint (first path) to a GGUF file (second path)."""
Logits = Callable[[Path], torch.Tensor]
"""The logits [tokens, vocabulary] that llama.cpp computes from a GGUF file."""


@dataclass(frozen=True, slots=True)
class GgufResult:
    """What became of one stack: `right`, `wrong`, `fails` (llama.cpp does not load it) or `refused: why`."""

    stack: str
    seen: str
    difference: float | None = None

    @property
    def agrees(self) -> bool:
        """Whether nothing wrong was written."""
        return self.seen == "right" or self.seen.startswith("refused")


def try_gguf_family(name: str, convert: Convert, run: Logits, home: Path) -> Iterator[GgufResult]:
    """The results of all stacks of a family; only that of the donor if llama.cpp is not right about the donor."""
    entries = {key: value for key, value in tiny_entries(name).items() if not isinstance(value, list)}
    case = Case(name, entries | {"num_hidden_layers": DEPTH} | OWN_ENTRIES.get(name, {}))
    for seed, donor in enumerate("ab"):
        write_donor(case, home / donor, seed)
        add_vocabulary(home / donor)
        convert(home / donor, home / f"{donor}.gguf")
    for stack, items in STACKS.items():
        result = _try_stack(stack, list(items), run, home)
        yield result
        if stack == "donor" and not result.agrees:
            return


def _try_stack(name: str, items: list[str], run: Logits, home: Path) -> GgufResult:
    gguf = load(_write_spec(home, f"{name}-gguf", items, ".gguf"))
    errors = select_errors(gguf.problems)
    if errors:
        return GgufResult(name, f"refused: {errors[0].message}")
    plain = load(_write_spec(home, name, items, ""))
    if select_errors(plain.problems):
        return GgufResult(name, "refused: as a checkpoint")
    try:
        build(plain, home / name)
        build(gguf, home / f"{name}.stack.gguf")
    except StackerError as error:
        return GgufResult(name, f"refused: {error.problems[0].message}")
    add_vocabulary(home / name)
    with torch.inference_mode():
        expected = load_reference(home / name)(torch.tensor([PROMPT])).logits[0]
    try:
        found = run(home / f"{name}.stack.gguf")
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return GgufResult(name, "fails")
    difference = ((found - expected).abs().max() / expected.abs().max()).item()
    return GgufResult(name, "right" if difference < TOLERANCE else "wrong", difference)


def _write_spec(home: Path, name: str, items: list[str], suffix: str) -> Path:
    slices = [item for item in items if ":" not in item or "[" in item]
    others = [item for item in items if item not in slices]
    donors = f"{{a: ./a{suffix}, b: ./b{suffix}}}"
    lines = ["stacker: 1", "name: tried", f"donors: {donors}", f"stack: {json.dumps(slices)}", *others]
    path = home / f"{name}.yml"
    path.write_text("\n".join(lines) + "\n")
    return path
