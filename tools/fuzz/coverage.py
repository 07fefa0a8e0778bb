"""Lets atheris look for inputs that reach new code: in a process of its own, because atheris ends its process.

What it has found to be interesting is kept in build/fuzz, and the next run goes on from there.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tools.fuzz.fuzzing import Defect, find_fault
from tools.fuzz.targets import Target, make_targets

_KEPT = Path(__file__).parents[2] / "build" / "fuzz"
_TRIED = re.compile(r"number_of_executed_units:\s*(\d+)|#(\d+)\s")
_LONGEST = 8_192
"""Bytes of the longest inputs; longer ones reach no other code."""
_SLOWEST = 60
"""Seconds after which atheris ends an input that hangs; far more than any takes, because the machine may be busy."""
_MEMORY_MB = 2_048
_START = """
import sys
import atheris
with atheris.instrument_imports(include=["stacker"]):
    from tools.fuzz import coverage
coverage.explore(*sys.argv[1:])
"""


def fuzz_by_coverage(
    target: Target, corpus: Iterable[bytes], seconds: float, seed: int = 0
) -> tuple[int, Defect | None]:
    """Let atheris try inputs of a target for some seconds; returns how many it tried, and a defect if it found one."""
    kept = _KEPT / target.name
    kept.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate((*target.seeds, *corpus)):
        (kept / f"seed-{number}").write_bytes(data)
    with tempfile.TemporaryDirectory() as folder:
        words = [target.name, str(kept), f"{folder}/", str(max(1, round(seconds))), str(seed + 1)]
        ended = subprocess.run(
            [sys.executable, "-c", _START, *words], capture_output=True, text=True, errors="replace", check=False
        )
        tried = max((int(a or b) for a, b in _TRIED.findall(ended.stderr)), default=0)
        found = sorted(Path(folder).iterdir())
        if found:
            data = found[0].read_bytes()
            return tried, Defect(data, find_fault(target, data) or ended.stderr[-2_000:])
    if ended.returncode:
        raise RuntimeError(f"atheris ends with {ended.returncode}:\n{ended.stderr[-4_000:]}")
    return tried, None


def explore(name: str, kept: str, found: str, seconds: str, seed: str) -> None:
    """Try inputs of the target `name`, and end the process; an input that is a defect is written below `found`."""
    import atheris  # here, because it takes a compiled library that only this engine needs

    with tempfile.TemporaryDirectory() as folder:
        target = make_targets(Path(folder))[name]

        def read(data: bytes) -> None:
            if what := find_fault(target, data):
                raise RuntimeError(what)

        limits = [f"-max_len={_LONGEST}", f"-timeout={_SLOWEST}", f"-rss_limit_mb={_MEMORY_MB}"]
        words = [f"-max_total_time={seconds}", f"-seed={seed}", f"-artifact_prefix={found}", "-print_final_stats=1"]
        atheris.Setup([sys.argv[0], kept, *limits, *words], read)
        try:
            atheris.Fuzz()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)  # else its alarm ends the process while the folder is deleted
