"""The table of strategies: which space each one moves in, and how it is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from stacker.errors import Problem, raise_problems
from stacker.search.results import Finalist
from stacker.search.running.strategy import Strategy
from stacker.search.spaces.arrangement_space import ArrangementSpace
from stacker.search.spaces.variables import VariableSpace
from stacker.search.strategies.cma import Cma
from stacker.search.strategies.evolution import Evolution
from stacker.search.strategies.sakana import Sakana
from stacker.search.strategies.scan import Scan
from stacker.search.strategies.seeds import list_seeds

Space = VariableSpace | ArrangementSpace
Make = Callable[[Space, Sequence[Finalist], int], Strategy]
"""Makes a strategy for a space, the finalists of the strategies before it (the last one's first), and a seed."""
Ready = Callable[[Sequence[Finalist]], Strategy]
"""Makes a strategy for the finalists of the strategies before it."""


@dataclass(frozen=True, slots=True)
class Row:
    """A strategy for spaces of the type `space`."""

    name: str
    summary: str
    space: type
    make: Make


def _make_scan(space: Space, _finalists: Sequence[Finalist], _seed: int) -> Strategy:
    assert isinstance(space, VariableSpace)
    return Scan(space)


def _make_cma(space: Space, finalists: Sequence[Finalist], seed: int) -> Strategy:
    assert isinstance(space, VariableSpace)
    return Cma(space, finalists[0].point if finalists else space.start, seed)


def _make_evolution(space: Space, _finalists: Sequence[Finalist], seed: int) -> Strategy:
    assert isinstance(space, ArrangementSpace)
    return Evolution(space, list_seeds(space), seed)


def _make_sakana(space: Space, _finalists: Sequence[Finalist], seed: int) -> Strategy:
    assert isinstance(space, ArrangementSpace)
    return Sakana(space, seed)


_ALL = (
    Row(
        "scan", "families of one and two parameters, from one end of the ranges to the other", VariableSpace, _make_scan
    ),
    Row("cma", "CMA-ES over continuous, integer and categorical parameters at once", VariableSpace, _make_cma),
    Row("evolution", "changes of the order of layers, with an archive", ArrangementSpace, _make_evolution),
    Row("sakana", "CMA-ES over which layers of all donors in series are run", ArrangementSpace, _make_sakana),
)
STRATEGIES = {row.name: row for row in _ALL}
"""All strategies by name."""
_USUAL: dict[type, tuple[str, ...]] = {VariableSpace: ("scan", "cma"), ArrangementSpace: ("evolution",)}


def check_strategies(kinds: Sequence[type[Space]], names: Sequence[str]) -> None:
    """Raise a SpecError that lists the names that are unknown, and those whose strategy fits none of the spaces."""
    raise_problems(_find_misfits(kinds, names))


def _find_misfits(kinds: Sequence[type[Space]], names: Sequence[str]) -> Iterator[Problem]:
    fitting = [row.name for row in _ALL if row.space in kinds]
    for name in dict.fromkeys(names):
        if name not in STRATEGIES:
            yield Problem(f"there is no strategy '{name}'", f"there are: {', '.join(STRATEGIES)}")
        elif name not in fitting:
            yield Problem(f"the strategy {name} cannot search this space", f"use {' or '.join(fitting)}")
        elif names.count(name) > 1:
            yield Problem(f"the strategy {name} is named twice", "keep one of the two")


def make_strategies(space: Space, names: Sequence[str] | None, seed: int) -> list[tuple[str, Ready]]:
    """The strategies among `names` that fit a space, each ready to be made; the usual ones if none is named.

    Pass names that `check_strategies` has checked.
    """
    fitting = tuple(name for name in names or () if isinstance(space, STRATEGIES[name].space))
    chosen = fitting or next(usual for kind, usual in _USUAL.items() if isinstance(space, kind))

    def get_ready(name: str) -> Ready:
        return lambda finalists: STRATEGIES[name].make(space, finalists, seed)

    return [(name, get_ready(name)) for name in chosen]
