"""Reports how an output differs from its plan: damaged tensors, and wrong, missing or extra files.

`verify` reads the bytes in many threads and passes them to Damage.
"""

from __future__ import annotations

import json
import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from stacker.core.plan.documents import make_plan_documents
from stacker.core.plan.plan import Plan, Shard, Step
from stacker.errors import Blame, Mark, Problem
from stacker.formats.index import INDEX_FILE
from stacker.formats.json_object import Json
from stacker.io.disk.storage import explain_errors
from stacker.io.files.paths import is_file, list_folder, read_status
from stacker.io.files.regular_files import read_stored


class Damage:
    """Collects an output's damaged tensors, each with the file offset of its first wrong byte.

    Several threads may use it at once.
    """

    def __init__(self, plan: Plan) -> None:
        self._steps: list[list[Step]] = [[] for _ in plan.shards]
        for step in sorted(plan.steps, key=lambda step: step.offset):
            if step.tensor.nbytes:
                self._steps[step.shard].append(step)
        self._first: dict[Step, int] = {}
        self._lock = threading.Lock()

    def compare(self, shard: int, offset: int, expected: bytes, found: bytes) -> None:
        """Compare two equally long byte strings, and record each tensor in which they differ as damaged.

        `found` was read from shard number `shard` at the file offset `offset`.
        """
        begin = 0
        while expected[begin:] != found[begin:]:
            place = begin + _find_first_difference(expected[begin:], found[begin:])
            step = self._step_at(shard, offset + place)
            with self._lock:
                self._first[step] = min(offset + place, self._first.get(step, offset + place))
            begin = step.offset + step.tensor.nbytes - offset

    def problems(self, paths: Sequence[Path]) -> Iterator[Problem]:
        """Yield a problem for each damaged tensor, sorted by shard and offset; `paths` has the path of each shard."""
        for step, byte in sorted(self._first.items(), key=lambda item: (item[0].shard, item[1])):
            inside = byte - step.offset
            message = f"tensor '{step.tensor.name}' is damaged, first at its byte {inside} (byte {byte} of the file)"
            yield make_file_problem(paths[step.shard], message, "build it again")

    def _step_at(self, shard: int, byte: int) -> Step:
        steps = self._steps[shard]
        return steps[bisect_right(steps, byte, key=lambda step: step.offset) - 1]


def _find_first_difference(one: bytes, other: bytes) -> int:
    """The index of the first difference between two unequal byte strings of equal length."""
    low, high = 0, len(one)
    while high - low > 1:
        middle = (low + high) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle
    return low


def check_contents(folder: Path, plan: Plan) -> Iterator[Problem]:
    """Yield a problem for config.json or the index if it is wrong or missing, and for each weight file not in the plan.

    The index is the JSON file that lists the shard of each tensor. Beside GGUF files, anything may be.
    """
    documents = make_plan_documents(plan)
    for name, content in documents.items():
        yield from _check_json(folder / name, content)
    if not documents:
        return
    planned = {shard.name for shard in plan.shards} | documents.keys()
    for name in list_folder(folder):
        path = folder / name
        if (name.endswith(".safetensors") or name == INDEX_FILE) and name not in planned:
            yield make_file_problem(
                path, "this file is not in the plan: loaders may take it for a part of the output", "remove it"
            )


def make_file_problem(path: Path, message: str, hint: str = "") -> Problem:
    """A problem with a file of the output, marked as found by verification."""
    return Problem(message, hint, Mark(str(path)), blame=Blame.VERIFY)


def check_size(path: Path, shard: Shard) -> Problem | None:
    """The problem of a shard whose file is missing or has another size than planned, or None."""
    status = read_status(path)
    if status is None or not is_file(path):
        return make_file_problem(path, "this shard is missing", "build it again")
    size = status.st_size
    return None if size == shard.size else make_file_problem(path, f"this shard has {size:,} bytes, not {shard.size:,}")


def check_shard(path: Path, shard: Shard) -> Problem | None:
    """The problem of a shard that is missing, or has another size or header than planned, or None.

    StorageError when it cannot be read.
    """
    problem = check_size(path, shard)
    if problem is None:
        with explain_errors(path, "read"), path.open("rb") as file:
            if file.read(len(shard.header)) != shard.header:
                problem = make_file_problem(path, "the header of this shard is not as planned", "build it again")
    return problem


def _check_json(path: Path, expected: dict[str, Json]) -> Iterator[Problem]:
    try:
        found = json.loads(read_stored(path)) if is_file(path) else None
    except (OSError, ValueError, RecursionError) as error:
        yield make_file_problem(path, f"cannot read this file: {error}")
        return
    if found is None:
        yield make_file_problem(path, "this file is missing")
    elif found != expected:
        yield make_file_problem(path, f"not as planned: {', '.join(_differences(found, expected))}")


def _differences(found: Any, expected: dict[str, Json], most: int = 5) -> list[str]:
    """The names of JSON entries that differ, quoted for a message; a nested entry has a name such as 'rope.type'.

    Only `most` names are listed, followed by a text such as "and 3 more". If `found` is not a mapping, the only text
    is "the whole of it".
    """
    names = sorted(_find_differing(found, expected, ""))
    more = [f"and {len(names) - most} more"] if len(names) > most else []
    return [f"'{name}'" if name else "the whole of it" for name in names[:most]] + more


def _find_differing(found: Any, expected: Any, place: str) -> Iterator[str]:
    if not (isinstance(found, dict) and isinstance(expected, dict)):
        if found != expected or type(found) is not type(expected):
            yield place
        return
    for key in found.keys() | expected.keys():
        inner = f"{place}.{key}" if place else key
        if key in found and key in expected:
            yield from _find_differing(found[key], expected[key], inner)
        else:
            yield inner
