"""Running commands and measuring their wall time, processor time, peak resident memory and disk usage.

This process must stay small: Linux counts the memory of a parent into the peak of the processes that it starts.
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
    """A benchmark cannot run: a command failed, or a program it needs is missing."""


@dataclass(frozen=True, slots=True)
class Run:
    """A finished command: what it took, its peak resident bytes (its own or its largest child's), and what it printed.

    `seconds` is wall time, and `processor` the processor time in seconds, of its children too.
    """

    seconds: float
    processor: float
    peak: int
    output: str
    errors: str


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: what was measured, the result, the target, and whether the target was reached.

    `reached` is None if there is no target.
    """

    what: str
    found: str
    target: str = ""
    reached: bool | None = None


@dataclass(frozen=True, slots=True)
class Bench:
    """Options of every benchmark: a scratch folder, the number of repetitions, and the path of mergekit if given."""

    scratch: Path
    times: int
    mergekit: Path | None


def run(*words: str | Path, environment: Mapping[str, str] | None = None) -> Run:
    """Run a command until it ends; BenchError with its output when it fails."""
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
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, *texts)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def alternate(times: int, prepare: Callable[[], None], **contenders: Callable[[], Run]) -> dict[str, list[Run]]:
    """Run every contender `times` times in turns (A B A B), so that slow phases of the machine affect all alike.

    `prepare` is called before each run and is not measured. Returns the runs of each contender by name.
    """
    runs: dict[str, list[Run]] = {name: [] for name in contenders}
    for _ in range(times):
        for name, contender in contenders.items():
            prepare()
            runs[name].append(contender())
    return runs


def settle() -> None:
    """Write all cached data to the disk, so that the next command does not have to wait for it."""
    os.sync()


def seconds(runs: Sequence[Run]) -> float:
    """The median wall time."""
    return statistics.median(one.seconds for one in runs)


def peak(runs: Iterable[Run]) -> int:
    """The largest peak of resident memory among the runs, in bytes."""
    return max(one.peak for one in runs)


def spread(runs: Sequence[Run]) -> str:
    """The median, smallest and largest wall time as text, and the median of the processor time."""
    times, busy = [one.seconds for one in runs], statistics.median(one.processor for one in runs)
    return f"{statistics.median(times):.2f} s ({min(times):.2f}–{max(times):.2f}; {busy:.2f} s of CPU)"


def megabytes(size: float) -> str:
    return f"{size / 1e6:.0f} MB"


def at_most(what: str, value: float, limit: float, unit: str, digits: int = 2, note: str = "") -> Row:
    """A row whose target is that `value` is at most `limit`."""
    return Row(what, f"{value:.{digits}f} {unit}{note}", f"≤ {limit:g} {unit}", value <= limit)


def at_least(what: str, value: float, limit: float, unit: str, digits: int = 1, note: str = "") -> Row:
    """A row whose target is that `value` is at least `limit`."""
    return Row(what, f"{value:.{digits}f} {unit}{note}", f"≥ {limit:g} {unit}", value >= limit)


def blocks(folder: Path) -> int:
    """How many bytes on the disk the files below a folder occupy; holes are not counted."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def used(folder: Path) -> int:
    """How many bytes are in use on the filesystem of `folder`, after a sync."""
    os.sync()
    found = os.statvfs(folder)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def remove(path: Path) -> None:
    """Remove a file or a whole folder, if it exists."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
