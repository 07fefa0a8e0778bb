"""Builds with the least memory that they ask for and with more: none takes over a tenth more than it was given."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.donors import write_llama
from tests.tokenizers import write_tokenizer
from tools.faults.rows import Trial

_TOLERANCE = 1.1
_ATTACK = "`--max-memory`: held within a tenth, or refused with the least that would do"
_TOO_LITTLE = "10MB"
_SHARES = (1.0, 1.1, 1.25, 1.5, 2.0, 4.0)
"""Limits to build with, as multiples of the least that a build asks for."""
_WORKERS = 8
_LEAST = re.compile(r"--max-memory (\d+)MB")
_MEASURED = r"""
import re, sys
from pathlib import Path
from stacker.cli import main
code = main()
print(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])
sys.stdout.flush()
sys.exit(code)
"""
"""Builds, and prints the peak of resident memory in kB."""
STACKS = {
    "copies": "stack: ['a[0:2]', 'b[1:3]']",
    "copies with a union of large tokenizers": "stack: ['a[0:2]', 'b[1:3]']\ntokenizer: {source: union}",
    "linear": "stack: [{blend: [a, b], op: linear}]",
    "linear with a union of large tokenizers": "stack: [{blend: [a, b], op: linear}]\ntokenizer: {source: union}",
    "slerp": "stack: [{blend: [a, b], op: slerp, t: 0.3}]",
    "ties": "base: a\nstack: [{blend: [a, b], op: ties, density: 0.5}]",
    "della": "base: a\nstack: [{blend: [a, b], op: della, density: 0.5}]",
    "sce": "base: a\nstack: [{blend: [a, b], op: sce, select_topk: 0.5}]",
    "model_stock": "base: a\nstack: [{blend: [a, b], op: model_stock, filter_wise: true}]",
}
_TOKENS = 100_000


def limit_memory(folder: Path) -> Iterator[Trial]:
    """`--max-memory` from too little to far more than enough."""
    for name, stack in STACKS.items():
        yield Trial(name, _ATTACK, partial(_try, folder / name, stack))


def _try(folder: Path, stack: str) -> Iterator[str]:
    """What is wrong with each build of a stack in a folder; "" where nothing is."""
    for seed, name in enumerate("ab"):
        donor = write_llama(folder / name, layers=3, hidden=256, ffn=4096, vocab=_TOKENS + 8, seed=seed)
        write_tokenizer(donor, [f"token {number}" for number in range(_TOKENS)], [f"added by {name}"])
    (folder / "stack.yml").write_text(f"stacker: 1\ndonors: {{a: ./a, b: ./b}}\n{stack}\n")
    code, _, text = build_within(folder, _TOO_LITTLE)
    found = _LEAST.search(text)
    if code != 2 or not found:
        yield f"with {_TOO_LITTLE}, the exit code is {code}: {text}"
        return
    yield ""
    for share in _SHARES:
        given = round(int(found[1]) * share)
        code, peak, text = build_within(folder, f"{given}MB")
        if code:
            yield f"with {given} MB, the exit code is {code}: {text}"
        else:
            yield "" if peak <= given * 1e6 * _TOLERANCE else f"with {given} MB, it takes {peak:,} bytes"


def build_within(folder: Path, limit: str) -> tuple[int, int, str]:
    """Build `stack.yml` in a folder with this limit: the exit code, the peak in bytes, and what it says."""
    shutil.rmtree(folder / "out", ignore_errors=True)
    words = ["build", "stack.yml", "out", "--quiet", "--workers", str(_WORKERS), "--max-memory", limit]
    ended = subprocess.run(
        [sys.executable, "-c", _MEASURED, *words], cwd=folder, capture_output=True, text=True, check=False
    )
    return ended.returncode, int(ended.stdout.strip() or 0) * 1024, ended.stderr
