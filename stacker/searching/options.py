"""Defines what a search is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from stacker.search.limits import Limit

PASSAGES = 16
WINDOW = 512


@dataclass(frozen=True, slots=True)
class Bounds:
    """What limits candidates: the most layers and parameters (None: no limit), and the licences donors may have.

    Without `licences`, every licence is allowed.
    """

    layers: int | None = None
    parameters: int | None = None
    licences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How a spec is searched: `passages` windows of `window` tokens a candidate, from the texts in `texts`.

    `arrange` searches the order of layers too. `spread` is the number of knots that each parameter is spread into, 0
    for none. `out` is the file of the winner's spec. `parameters` are words such as `t=0.5`, which fixes a parameter,
    and `t=0:1`, which gives its range.
    """

    texts: tuple[Path, ...]
    out: Path
    log: Path | None = None
    questions: tuple[Path, ...] = ()
    limit: Limit = field(default_factory=Limit)
    arrange: bool = False
    strategies: tuple[str, ...] | None = None
    objectives: tuple[str, ...] = ("loss",)
    bounds: Bounds = field(default_factory=Bounds)
    seed: int = 0
    spread: int = 0
    passages: int = PASSAGES
    window: int = WINDOW
    device: str = "cpu"
    dtype: str | None = None
    parameters: tuple[str, ...] = ()
