"""Rates the junctions of a stack by how far the residual stream turns there, from what probes have measured before.

The rating of a junction is the mean angular distance between the state that leaves the layer before it, in that layer's
donor, and the state that usually enters the layer behind it, in that one's donor. 0 is no turn, 0.5 means unrelated.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path

from stacker.core.stack.graph import Junction, StackGraph, find_junctions
from stacker.core.values.donor import Donor
from stacker.io.files.cache_folder import find_user_cache
from stacker.io.files.regular_files import read_stored
from stacker.measure.probes.results import Matrix

Pair = tuple[str, str]
"""The names of the donors before and behind a junction."""


@dataclass(frozen=True, slots=True)
class TurnCache:
    """Distances between the states of two donors, in files below `folder`; later texts replace earlier ones."""

    folder: Path

    def read(self, one: Donor, other: Donor) -> Matrix | None:
        """The distances [states of one, states of the other]; None if they were not measured or cannot be read."""
        try:
            found = json.loads(read_stored(self._find_path(one, other)))
        except (OSError, ValueError, RecursionError):
            return None
        return _check_matrix(found, one.depth + 1, other.depth + 1)

    def write(self, one: Donor, other: Donor, distances: Matrix) -> None:
        """Keep distances, and the same ones the other way round; a folder that cannot be written to is left alone."""
        self._write(self._find_path(one, other), distances)
        self._write(self._find_path(other, one), tuple(zip(*distances, strict=True)))

    def _write(self, path: Path, distances: Matrix) -> None:
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False) as file:
                json.dump(distances, file)
            os.replace(file.name, path)  # noqa: PTH105 - the name is a text

    def _find_path(self, one: Donor, other: Donor) -> Path:
        name = hashlib.sha256(json.dumps([identify_donor(one), identify_donor(other)]).encode()).hexdigest()
        return self.folder / f"{name}.json"


def identify_donor(donor: Donor) -> list[list[object]]:
    """What tells a donor from others, and from itself with other weights: its files' sizes, headers and versions."""
    stamps = {file.name: astuple(file.stamp) if file.stamp else None for file in donor.files}
    return [[file.name, file.size, file.header, stamps[file.name]] for file in donor.files]


def _check_matrix(found: object, rows: int, columns: int) -> Matrix | None:
    if not isinstance(found, list) or len(found) != rows:
        return None
    if not all(isinstance(row, list) and len(row) == columns for row in found):
        return None
    if not all(isinstance(value, float | int) for row in found for value in row):
        return None
    return tuple(tuple(map(float, row)) for row in found)


def rate_junctions(graph: StackGraph, donors: Mapping[str, Donor], cache: TurnCache) -> dict[int, float]:
    """The ratings that the cache has, by the index of the output layer behind the junction."""
    known: dict[Pair, Matrix | None] = {}
    ratings = {}
    for junction, pair in _list_pairs(graph, donors):
        if pair not in known:
            known[pair] = cache.read(donors[pair[0]], donors[pair[1]])
        distances = known[pair]
        if distances is not None:
            ratings[junction.index] = distances[(junction.before.layer or 0) + 1][junction.after.layer or 0]
    return ratings


def find_unrated(graph: StackGraph, donors: Mapping[str, Donor], cache: TurnCache) -> tuple[Pair, ...]:
    """The pairs of donors at junctions for which the cache has no distances, in order, each once."""
    pairs = dict.fromkeys(pair for _, pair in _list_pairs(graph, donors))
    return tuple(pair for pair in pairs if cache.read(donors[pair[0]], donors[pair[1]]) is None)


def _list_pairs(graph: StackGraph, donors: Mapping[str, Donor]) -> Iterator[tuple[Junction, Pair]]:
    """Yield the junctions between donors that have files of their own, which nested stacks have not."""
    for junction in find_junctions(graph):
        pair = junction.before.donor, junction.after.donor
        if all(donors[name].files for name in pair):
            yield junction, pair


def find_turn_cache() -> TurnCache:
    """The cache of the user."""
    return TurnCache(find_user_cache("turns"))
