"""Commands run and measured from outside: wall time, peak resident memory, bytes on disk.

This process stays small on purpose: Linux counts a parent's memory into the peak of what it starts.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

STACKER = (sys.executable, "-m", "stacker")
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


class BenchError(RuntimeError):
    """A measurement that cannot be made: a command failed, or something it needs is not here."""


@dataclass(frozen=True, slots=True)
class Run:
    """One finished command: wall seconds, peak resident bytes of it or its largest child, what it printed."""

    seconds: float
    peak: int
    output: str
    errors: str


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: what was measured, what came out, what should have, and whether it did (None: no target)."""

    what: str
    found: str
    target: str = ""
    reached: bool | None = None


@dataclass(frozen=True, slots=True)
class Bench:
    """What every case needs: a scratch folder, how often to repeat, and where mergekit is, if it is."""

    scratch: Path
    times: int
    mergekit: Path | None


def run(*words: str | Path, environment: Mapping[str, str] | None = None) -> Run:
    """Run a command to its end; BenchError with what it said when it fails."""
    command = [str(word) for word in words]
    variables = {**os.environ, **OFFLINE, **(environment or {})}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=errors, env=variables)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        texts = [_text(file) for file in (out, errors)]
    if process.returncode:
        raise BenchError(f"{' '.join(command)}: exit {process.returncode}\n{texts[0][-2000:]}{texts[1][-4000:]}")
    return Run(seconds, usage.ru_maxrss * 1024, *texts)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def alternate(times: int, prepare: Callable[[], None], **contenders: Callable[[], Run]) -> dict[str, list[Run]]:
    """Every contender `times` times, in turns (A B A B) so that the machine's moods meet all alike.

    `prepare` runs before each, not measured.
    """
    runs: dict[str, list[Run]] = {name: [] for name in contenders}
    for _ in range(times):
        for name, contender in contenders.items():
            prepare()
            runs[name].append(contender())
    return runs


def settle() -> None:
    """Everything written so far is on the disk, so that nobody pays for what another one wrote."""
    os.sync()


def seconds(runs: Sequence[Run]) -> float:
    """The median of their wall times."""
    return statistics.median(one.seconds for one in runs)


def peak(runs: Iterable[Run]) -> int:
    """The largest of their peaks, in bytes."""
    return max(one.peak for one in runs)


def spread(runs: Sequence[Run]) -> str:
    """Median seconds, and the range around it."""
    times = [one.seconds for one in runs]
    return f"{statistics.median(times):.2f} s ({min(times):.2f}–{max(times):.2f})"


def megabytes(size: float) -> str:
    return f"{size / 1e6:.0f} MB"


def at_most(what: str, value: float, limit: float, unit: str, digits: int = 2, note: str = "") -> Row:
    """A row whose target is an upper bound in `unit`."""
    return Row(what, f"{value:.{digits}f} {unit}{note}", f"≤ {limit:g} {unit}", value <= limit)


def at_least(what: str, value: float, limit: float, unit: str, digits: int = 1, note: str = "") -> Row:
    """A row whose target is a lower bound in `unit`."""
    return Row(what, f"{value:.{digits}f} {unit}{note}", f"≥ {limit:g} {unit}", value >= limit)


def blocks(folder: Path) -> int:
    """Bytes that the files below a folder take on the disk, holes not counted."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def used(folder: Path) -> int:
    """Bytes in use on the filesystem that holds `folder`, once all is written."""
    os.sync()
    found = os.statvfs(folder)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def remove(path: Path) -> None:
    """A file or a whole folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
