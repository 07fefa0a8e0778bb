"""Strategies: they find planted optima, and ask the same with the same seed and the same trials."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from stacker.search.results import Finalist, Measured, Proposal, Trial
from stacker.search.running.strategy import Strategy
from stacker.search.spaces.arrangements import drop_idle, read_point
from stacker.search.spaces.variables import make_space
from stacker.search.strategies.cma import Cma
from stacker.search.strategies.evolution import Evolution
from stacker.search.strategies.sakana import Sakana
from stacker.search.strategies.scan import Scan
from stacker.search.strategies.seeds import list_seeds
from tests.search.orders import DEPTH, cost_of_point, make_orders

SPACE = make_space({"a": (0.0, 1.0), "b": (2.0, 4.0), "cut": (0, 9), "op": ("x", "y", "z")})
START: dict[str, float | int | str] = {"a": 0.5, "b": 3.0, "cut": 5, "op": "x"}


def bowl(point: Any) -> float:
    """Lowest at a = 0.3, b = 3.5, cut = 7, op = z."""
    far: float = (point["a"] - 0.3) ** 2 + (point["b"] - 3.5) ** 2 + ((point["cut"] - 7) / 9) ** 2
    return far + 0.2 * float(point["op"] != "z")


def drive(strategy: Strategy, value: Callable[[Any], float], generations: int) -> list[Trial]:
    """Let a strategy run; layers of an order count for its niche."""
    trials: list[Trial] = []
    for generation in range(generations):
        asked = strategy.ask()
        if not asked:
            break
        new = [measure(len(trials) + at, generation, each, value) for at, each in enumerate(asked)]
        strategy.tell(new)
        trials += new
    return trials


def measure(number: int, generation: int, proposal: Proposal, value: Callable[[Any], float]) -> Trial:
    point = proposal.point
    layers = 0 if isinstance(point, dict) else sum(run[2] - run[1] for run in point)
    return Trial(number, "x", generation, proposal, Measured((value(point),), 0.01, passages=4, layers=layers))


def test_a_scan_goes_family_by_family() -> None:
    """All numbers together, then each alone from the best so far, then two; the finalist is the last family's best."""
    scan = Scan(SPACE)
    trials = drive(scan, bowl, 99)
    best = min(trials, key=lambda trial: trial.values or ())
    assert [trial.proposal.how for trial in trials].count("start") == 1
    assert scan.list_finalists()[0].point == best.point
    assert bowl(scan.list_finalists()[0].point) < 0.15


def test_cma_finds_numbers_and_words() -> None:
    """CMA-ES comes near the optimum in continuous, whole and categorical variables; its finalist is the mean."""
    cma = Cma(SPACE, START, seed=3)
    drive(cma, bowl, 40)
    (finalist,) = cma.list_finalists()
    assert finalist.point["op"] == "z"
    assert abs(finalist.point["cut"] - 7) <= 1
    assert bowl(finalist.point) < 0.02


@pytest.mark.parametrize("space", [{"a": (0.0, 1.0)}, {"cut": (0, 9)}, {"op": ("x", "y", "z")}], ids=str)
def test_cma_takes_each_kind_alone(space: dict[str, Any]) -> None:
    """A space may have only one variable, of any kind."""
    made = make_space(space)
    name = next(iter(space))
    cma = Cma(made, made.start, seed=0)
    drive(cma, lambda point: float(point[name] != "z") if name == "op" else abs(float(point[name]) - 0.9), 25)
    found = cma.list_finalists()[0].point[name]
    assert found == "z" or abs(float(found) - 0.9) < 0.2


def test_cma_learns_from_failures() -> None:
    """Trials without values count as the worst: the distribution moves away from them."""
    space = make_space({"a": (0.0, 1.0)})
    cma = Cma(space, {"a": 0.5}, seed=0)
    for generation in range(20):
        asked = cma.ask()
        cma.tell(
            [
                Trial(at, "x", generation, each, Measured(None if each.point["a"] > 0.4 else (each.point["a"],)))
                for at, each in enumerate(asked)
            ]
        )
    assert cma.list_finalists()[0].point["a"] < 0.3


@pytest.mark.parametrize("seed", range(6))
def test_evolution_gets_around_a_damaged_layer(seed: int) -> None:
    """Evolution finds an order without the damaged layer and with nothing else wrong within 200 candidates."""
    space = make_orders("a", "b")
    evolution = Evolution(space, list_seeds(space), seed=seed)
    trials = drive(evolution, cost_of_point, 15)
    first = next(trial.number for trial in trials if trial.values == (0.0,))
    assert first < 200
    assert cost_of_point(evolution.list_finalists()[0].point) == 0


def test_evolution_asks_for_nothing_twice() -> None:
    """Only entries that are measured again come twice."""
    space = make_orders("a", "b")
    trials = drive(Evolution(space, list_seeds(space), seed=1), cost_of_point, 8)
    fresh = [str(trial.point) for trial in trials if not trial.proposal.how.startswith("again")]
    assert len(fresh) == len(set(fresh))


def test_layers_that_change_nothing_make_no_new_order() -> None:
    """No child equals an earlier order but for copies that write nothing."""
    space = replace(make_orders("a"), writers=("attn.o",))
    seeds = [Proposal([["a", 0, DEPTH]], "start"), Proposal([["a", 0, DEPTH], ["a", 3, 4, {"damp": 0.0}]], "idle")]
    trials = drive(Evolution(space, seeds, seed=1), cost_of_point, 8)
    children = [str(drop_idle(read_point(trial.point))) for trial in trials if trial.proposal.how[:5] != "again"]
    assert len(children[2:]) == len({*children[2:]} - {*children[:2]})


def test_parents_are_named() -> None:
    """A child names the trials that it was made from, which had been measured before."""
    space = make_orders("a", "b")
    trials = drive(Evolution(space, list_seeds(space), seed=1), cost_of_point, 4)
    children = [trial for trial in trials if trial.generation]
    assert all(trial.proposal.parents for trial in children)
    assert all(parent < trial.number for trial in children for parent in trial.proposal.parents)


def test_seeds_are_orders_of_every_kind() -> None:
    """The seeds have windows of the other donor, repeated windows, recipes and the probe's best edits, each once."""
    distances = tuple(tuple(abs(one - other) / DEPTH for other in range(DEPTH + 1)) for one in range(DEPTH + 1))
    seeds = list_seeds(make_orders("a", "b", distances=distances))
    hows = [seed.how for seed in seeds]
    assert hows[0] == "start"
    for word in ("take", "repeat", "recipe solar", "probe: repeat", "probe: drop"):
        assert any(how.startswith(word) for how in hows), word
    assert len({str(seed.point) for seed in seeds}) == len(seeds)


def test_sakana_starts_with_the_first_donor() -> None:
    """The mean of the distribution at the start is the order that the search starts with."""
    space = make_orders("a", "b")
    assert Sakana(space, seed=0).list_finalists() == (
        Finalist("sakana", "the mean of CMA-ES", [["a", 0, DEPTH]]),
    )  # fmt: skip


def test_sakana_improves_and_keeps_the_limit() -> None:
    """It finds better orders than at first, none of which has more layers than allowed."""
    space = make_orders("a", "b", most=14)
    trials = drive(Sakana(space, seed=0), cost_of_point, 40)
    values = [trial.values[0] for trial in trials if trial.values]
    assert max(trial.measured.layers for trial in trials) <= 14
    assert min(values[-50:]) < min(values[:10])


def makers() -> dict[str, Callable[[int], Strategy]]:
    orders = make_orders("a", "b")
    return {
        "cma": lambda seed: Cma(SPACE, START, seed),
        "evolution": lambda seed: Evolution(orders, list_seeds(orders), seed),
        "sakana": lambda seed: Sakana(orders, seed),
    }


@pytest.mark.parametrize("name", ["cma", "evolution", "sakana"])
def test_a_seed_decides(name: str) -> None:
    """The same seed asks the same, another seed something else."""
    value = bowl if name == "cma" else cost_of_point

    def points(seed: int) -> Sequence[Any]:
        return [trial.point for trial in drive(makers()[name](seed), value, 4)]

    assert points(1) == points(1)
    assert points(1) != points(2)
