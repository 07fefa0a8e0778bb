"""Peak memory of whole builds, as the system measures it, against the plan's estimate."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stacker.core.plan.costs import MB
from tests.donors import write_llama

COPY = "stack: ['a[0:4]', 'b[2:6]']"
LINEAR = "stack: [{blend: [a, b], op: linear}]"
SLERP = "stack: [{blend: [a, b], op: slerp, t: 0.3}]"
TIES = "base: a\nstack: [{blend: [a, b], op: ties, density: 0.5}]"
DELLA = "base: a\nstack: [{blend: [a, b], op: della, density: 0.5}]"
SCE = "base: a\nstack: [{blend: [a, b], op: sce, select_topk: 0.5}]"
STOCK = "base: a\nstack: [{blend: [a, b], op: model_stock, filter_wise: true}]"


def _spec(folder: Path, stack: str) -> Path:
    for seed, name in enumerate("ab"):
        write_llama(folder / name, seed=seed, hidden=512, ffn=1024, vocab=512)
    spec = folder / "spec.yml"
    spec.write_text(f"stacker: 1\nname: memory\ndonors: {{a: ./a, b: ./b}}\n{stack}\n")
    return spec


_MEASURED = """
import re, sys
from stacker.cli import main
status = main()
sys.stdout.write(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
sys.exit(status)
"""


def _peak(*arguments: str | Path) -> int:
    """Peak resident bytes of a run of the program, counted from exec on (a fork starts with its parent's)."""
    command = [sys.executable, "-c", _MEASURED, *map(str, arguments)]
    return int(subprocess.run(command, capture_output=True, check=True).stdout) * 1024


def _said(spec: Path) -> int:
    command = [sys.executable, "-m", "stacker", "plan", str(spec), "--json"]
    answer = subprocess.run(command, capture_output=True, check=True)
    return int(json.loads(answer.stdout)["costs"]["peak"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "stack",
    [COPY, LINEAR, SLERP, TIES, DELLA, SCE, STOCK],
    ids=["copy", "linear", "slerp", "ties", "della", "sce", "model_stock"],
)
def test_the_plan_knows_the_peak(tmp_path: Path, stack: str) -> None:
    """The peak of the whole process is within a fifth of the plan's estimate; blends stay below 600 MB."""
    spec = _spec(tmp_path, stack)
    peak = _peak("build", spec, tmp_path / "out", "--quiet")
    assert peak == pytest.approx(_said(spec), rel=0.2)
    assert peak <= 600 * MB


@pytest.mark.slow
def test_moving_takes_next_to_nothing(tmp_path: Path) -> None:
    """A stack without arithmetic is built in 60 MB."""
    spec = _spec(tmp_path, COPY)
    assert _peak("build", spec, tmp_path / "out", "--quiet") <= 60 * MB
