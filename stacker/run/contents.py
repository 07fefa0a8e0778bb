"""Whether an output has the files that it must have and no others with weights; tensors are not read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stacker.arch.model import Json
from stacker.core.documents import INDEX, index_json
from stacker.core.plan import Plan
from stacker.errors import Blame, Mark, Problem

CONFIG = "config.json"


def check_contents(folder: Path, plan: Plan) -> Iterator[Problem]:
    """What is wrong with config and index, and which files with weights should not be there."""
    yield from _check_json(folder / CONFIG, dict(plan.config))
    index = index_json(plan)
    if index is not None:
        yield from _check_json(folder / INDEX, index)
    planned = {shard.name for shard in plan.shards} | ({INDEX} if index else set())
    for path in sorted((*folder.glob("*.safetensors"), *folder.glob(INDEX))):
        if path.name not in planned:
            yield wrong(path, "this file is not in the plan: loaders may take it for a part of the output", "remove it")


def wrong(path: Path, message: str, hint: str = "") -> Problem:
    """A problem of a file of the output."""
    return Problem(message, hint, Mark(str(path)), blame=Blame.VERIFY)


def _check_json(path: Path, expected: dict[str, Json]) -> Iterator[Problem]:
    try:
        found = json.loads(path.read_bytes()) if path.is_file() else None
    except (OSError, ValueError, RecursionError) as error:
        yield wrong(path, f"cannot read this file: {error}")
        return
    if found is None:
        yield wrong(path, "this file is missing")
    elif found != expected:
        yield wrong(path, f"not as planned: {', '.join(_differences(found, expected))}")


def _differences(found: Any, expected: dict[str, Json], most: int = 5) -> list[str]:
    """The entries that differ, dotted where they are nested; the first few and how many more."""
    names = sorted(_differing(found, expected, ""))
    more = [f"and {len(names) - most} more"] if len(names) > most else []
    return [f"'{name}'" if name else "the whole of it" for name in names[:most]] + more


def _differing(found: Any, expected: Any, place: str) -> Iterator[str]:
    if not (isinstance(found, dict) and isinstance(expected, dict)):
        if found != expected or type(found) is not type(expected):
            yield place
        return
    for key in found.keys() | expected.keys():
        inner = f"{place}.{key}" if place else key
        if key in found and key in expected:
            yield from _differing(found[key], expected[key], inner)
        else:
            yield inner
