"""Keeps how fast this machine builds in a small file in the user's cache folder.

A file that is damaged, too large or of another form is ignored, and so is a folder that cannot be written to.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from stacker.core.plan.plan import Plan, Report
from stacker.core.study.build_time import DEFAULT_SPEEDS, KINDS, LIMITS, Origin, Speeds, count_work, learn
from stacker.errors import StackerError
from stacker.io.files.cache_folder import find_user_cache
from stacker.io.files.regular_files import open_regular, read_limited

_FORMAT = 1
_MOST_BYTES = 16_384


def find_speeds_file() -> Path:
    """The file for this kind of machine: its processor and the number of cores that this process may use."""
    model = ""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        model = next((line for line in lines if line.startswith("model name")), "")
    machine = f"{os.uname().machine} {model} {len(os.sched_getaffinity(0))}"
    return find_user_cache("speeds") / f"{hashlib.sha256(machine.encode()).hexdigest()[:16]}.json"


def read_speeds() -> Speeds:
    """The speeds that are kept for this machine, or DEFAULT_SPEEDS."""
    try:
        fd = open_regular(find_speeds_file())
    except (StackerError, RuntimeError):  # no such file; no home folder
        return DEFAULT_SPEEDS
    try:
        return _parse_speeds(json.loads(read_limited(fd, _MOST_BYTES, Path("speeds"))))
    except (StackerError, ValueError, RecursionError):
        return DEFAULT_SPEEDS
    finally:
        os.close(fd)


def _parse_speeds(content: Any) -> Speeds:
    """The speeds in the parsed content of a file; ValueError if it has another form."""
    match content:
        case {"format": form, "write": float(write), "arithmetic": dict(arithmetic), "origin": str(origin)} if (
            form == _FORMAT
        ):
            known = {kind: speed for kind, speed in arithmetic.items() if kind in KINDS}
            if all(_is_speed(speed) for speed in (write, *known.values())):
                return Speeds(write, known, Origin(origin))
    raise ValueError("these are not speeds")


def _is_speed(value: object) -> bool:
    return isinstance(value, float) and math.isfinite(value) and LIMITS[0] <= value <= LIMITS[1]


def write_speeds(speeds: Speeds) -> Path | None:
    """Replace the file for this machine as a whole; returns its path, or None if it cannot be written."""
    content = {
        "format": _FORMAT,
        "origin": speeds.origin.value,
        "write": float(speeds.write),
        "arithmetic": {kind: float(speed) for kind, speed in sorted(speeds.arithmetic.items())},
    }
    with suppress(OSError, RuntimeError):
        path = find_speeds_file()
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False) as file:
            try:
                json.dump(content, file, indent=1)
                file.close()
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
        return path
    return None


def learn_speeds(plan: Plan, report: Report) -> None:
    """Correct the speeds that are kept for this machine by a build that has just ended."""
    known = read_speeds()
    learned = learn(known, count_work(plan), report)
    if learned != known:
        write_speeds(learned)
