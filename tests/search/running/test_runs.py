"""Whole searches with functions as objectives: any callable, resumed logs, failures, several objectives."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import stacker
from stacker.errors import SpecError
from stacker.search.log import read_log
from stacker.search.results import Trial
from stacker.search.running.runs import Found, search
from stacker.search.spaces.variables import make_space
from stacker.spec.language.stack_spec import StackSpec
from tests.search.orders import cost, make_orders

SPACE = make_space({"t": (0.0, 1.0), "cut": (0, 20), "op": ("x", "y", "z")})


class _Killed(BaseException):
    """Stands for a signal that ends the process."""


def bowl(point: dict[str, Any]) -> float:
    far: float = (point["t"] - 0.2) ** 2 + abs(point["cut"] - 12) / 20
    return far + 0.3 * float(point["op"] != "y")


def count_layers(spec: StackSpec) -> tuple[float, float]:
    """Two objectives of an order: what is wrong with it, and how many layers it has."""
    from stacker.search.spaces.arrangement_space import read_items

    places = read_items(spec.stack, {"a": 12, "b": 12})
    return (99.0, 99.0) if places is None else (cost(places), float(len(places)))


def test_any_callable_is_an_objective() -> None:
    """The package itself is called: `stacker.search(space, objective)` finds the lowest place of a function."""
    found: Found = stacker.search(SPACE, bowl, candidates=150, seed=1)
    assert bowl(found.best) < 0.1
    assert [trial.number for trial in found.trials] == [*range(len(found.trials))]
    assert len(found.trials) <= 150


def test_the_package_stays_a_function() -> None:
    """`stacker.search` can be called although modules of the package of that name have been imported."""
    assert "stacker.search.log" in sys.modules
    assert stacker.search({"t": (0.0, 1.0)}, lambda point: point["t"], candidates=20).best["t"] < 0.2


def test_strategies_take_turns() -> None:
    """A scan goes before CMA-ES, which starts from the scan's best point."""
    found = search(SPACE, bowl, candidates=150)
    assert list(dict.fromkeys(trial.phase for trial in found.trials)) == ["scan", "cma"]
    assert found.finalists[0].phase == "cma"


@pytest.mark.parametrize("killed_after", [1, 7, 30, 61])
@pytest.mark.parametrize("case", ["numbers", "orders"])
def test_a_killed_search_ends_as_one_that_was_not(tmp_path: Path, case: str, killed_after: int) -> None:
    """Killed after any trial and started again, a search has the same log but for the times."""
    space, value = (SPACE, bowl) if case == "numbers" else (make_orders("a", "b"), lambda spec: count_layers(spec)[0])
    undisturbed = search(space, value, candidates=80, seed=5, log=tmp_path / "undisturbed")
    calls = 0

    def dying(point: Any) -> float:
        nonlocal calls
        calls += 1
        if calls > killed_after:
            raise _Killed
        return value(point)

    with pytest.raises(_Killed):
        search(space, dying, candidates=80, seed=5, log=tmp_path / "killed")
    assert len(read_log(tmp_path / "killed").trials) == killed_after
    resumed = search(space, value, candidates=80, seed=5, log=tmp_path / "killed")
    assert resumed == undisturbed
    assert read_log(tmp_path / "killed").trials == read_log(tmp_path / "undisturbed").trials


def test_the_same_seed_gives_the_same_log(tmp_path: Path) -> None:
    """Two searches with one seed have equal logs, with another seed not."""
    logs = {}
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        search(SPACE, bowl, candidates=90, seed=seed, log=tmp_path / name)
        logs[name] = read_log(tmp_path / name).trials
    assert logs["one"] == logs["again"]
    assert logs["one"] != logs["other"]


def test_failures_are_results(tmp_path: Path) -> None:
    """A candidate that cannot be made or measured is logged with the reason, and the search goes on."""

    def picky(point: dict[str, Any]) -> float:
        if point["op"] == "x":
            raise SpecError.of("x does not fit")
        return bowl(point)

    found = search(SPACE, picky, candidates=100, log=tmp_path / "log")
    failed = [trial for trial in found.trials if trial.values is None]
    assert failed
    assert {trial.measured.problem for trial in failed} == {"x does not fit"}
    assert bowl(found.best) < 0.3


def test_nothing_but_failures_is_an_error() -> None:
    """If no candidate can be measured, the first reason is said."""

    def fail(_point: Any) -> float:
        raise SpecError.of("nothing fits")

    with pytest.raises(SpecError, match=r"none of the .* nothing fits"):
        search(SPACE, fail, candidates=20)


def test_other_exceptions_are_raised() -> None:
    """A defect of the objective itself is not hidden."""
    with pytest.raises(ZeroDivisionError):
        search(SPACE, lambda _point: 1 / 0, candidates=20)


def test_several_objectives_have_a_front() -> None:
    """With two objectives, the front has shallow stacks that cost something and deeper ones that cost nothing."""
    found = search(make_orders("a", "b"), count_layers, candidates=150, seed=3)
    front = {trial.values for trial in found.front}
    assert (0.0, 12.0) in front
    assert any(values is not None and values[1] < 12 for values in front)
    assert all(not _dominates(one, other) for one in found.front for other in found.front)


def _dominates(one: Trial, other: Trial) -> bool:
    ours, theirs = one.values or (), other.values or ()
    return ours != theirs and all(a <= b for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize(
    ("space", "strategy", "message"),
    [(SPACE, "evolution", "cannot search this space"), (SPACE, "annealing", "no strategy 'annealing'")],
    ids=["misfit", "unknown"],
)
def test_strategies_that_do_not_fit_are_refused(space: Any, strategy: str, message: str) -> None:
    """A strategy for other spaces, or one that does not exist, is an error."""
    with pytest.raises(SpecError, match=message):
        search(space, bowl, strategy=strategy, candidates=5)


@pytest.mark.parametrize("name", ["sakana", "evolution"])
def test_orders_are_searched_by_each_strategy(name: str) -> None:
    """Both strategies for orders end with one at least as good as the start."""
    value: Callable[[StackSpec], float] = lambda spec: count_layers(spec)[0]  # noqa: E731
    found = search(make_orders("a", "b"), value, strategy=name, candidates=120, seed=2)
    assert min(trial.values[0] for trial in found.trials if trial.values) < 5
