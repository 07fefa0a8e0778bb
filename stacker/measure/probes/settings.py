"""Defines what `stacker probe` can be asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stacker.errors import SpecError
from stacker.measure.probes.edits import Way

Ways = tuple[tuple[Way, float], ...]
"""What is done to runs of layers, each with the factor of a hop or a damped copy, else 1."""


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """What is measured: runs of at most `runs` layers in all `ways`; without runs, there is no map.

    `passages` passages of the `texts` are read, `window` tokens of each. The `refine` best edits of a draft get more
    passages (None: a quarter of all), and the `best` of these are proposed.
    """

    texts: tuple[Path, ...]
    runs: int = 0
    ways: Ways = ((Way.REPEAT, 1.0), (Way.DROP, 1.0))
    passages: int = 16
    window: int = 128
    best: int = 8
    refine: int | None = None

    def count_refined(self, edits: int) -> int:
        """How many of so many edits are refined."""
        return min(edits, max(self.best, -(-edits // 4) if self.refine is None else self.refine))

    def list_factors(self, way: Way) -> list[float]:
        """The factors with which runs are edited in this way."""
        return [factor for each, factor in self.ways if each is way]


def parse_ways(plain: str, hops: Sequence[float], damps: Sequence[float]) -> Ways:
    """The ways of editing from a list of words such as `repeat,drop`, and the factors of others; doubles count once."""
    words = [word.strip() for word in plain.split(",") if word.strip()]
    wrong = [word for word in words if word not in (Way.REPEAT, Way.DROP)]
    if wrong:
        raise SpecError.of(f"--ways: '{wrong[0]}' is neither repeat nor drop", "for others, use --hop and --damp")
    if not words and not hops and not damps:
        raise SpecError.of("--ways, --hop and --damp name nothing to do", "write --ways repeat,drop")
    _check_factors((*hops, *damps))
    plain_ways = [(Way(word), 1.0) for word in words]
    return tuple(dict.fromkeys([*plain_ways, *_pair(Way.HOP, hops), *_pair(Way.DAMP, damps)]))


def _pair(way: Way, factors: Iterable[float]) -> list[tuple[Way, float]]:
    return [(way, factor) for factor in factors]


def _check_factors(factors: Iterable[float]) -> None:
    for factor in factors:
        if not 0 < factor < float("inf"):
            raise SpecError.of(f"a factor of --hop or --damp must be a number above 0, not {factor:g}")
