"""The table of objectives: what a search can make small."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from stacker.errors import Problem, raise_problems
from stacker.live.forecast.blueprint import Blueprint
from stacker.live.forecast.memory import predict_memory
from stacker.search.results import Objective

LOSS = Objective("loss", "change of loss", "nats a token")
QUESTIONS = Objective("questions", "change of the answers' loss", "nats")
SIZE = Objective("size", "parameters", "")
MEMORY = Objective("memory", "weights and cache in memory", "bytes")
SPEED = Objective("speed", "multiplications a token", "")


@dataclass(frozen=True, slots=True)
class Cost:
    """An objective that is known before a stack runs."""

    objective: Objective
    measure: Callable[[Blueprint], float]


def _count_parameters(blueprint: Blueprint) -> float:
    return float(sum(step.tensor.elements for step in blueprint.plan.steps))


def _count_multiplications(blueprint: Blueprint) -> float:
    """The elements of all matrices of layers and head; experts that a token does not visit count too."""
    places = blueprint.placements
    sizes = [(places[step.tensor.name].role, step.tensor) for step in blueprint.plan.steps]
    tied = all(role != "head" for role, _ in sizes)
    matrices = [tensor for role, tensor in sizes if len(tensor.shape) > 1 and (tied or role != "embed")]
    return float(sum(tensor.elements for tensor in matrices))


def _predict_bytes(blueprint: Blueprint) -> float:
    memory = predict_memory(blueprint)
    return float(memory.weights + (memory.cache or 0))


COSTS = {
    cost.objective.name: cost
    for cost in (Cost(SIZE, _count_parameters), Cost(MEMORY, _predict_bytes), Cost(SPEED, _count_multiplications))
}
"""The objectives that need no text, by name."""


def choose_objectives(names: Sequence[str], texts: Sequence[str], *, questions: bool) -> tuple[Objective, ...]:
    """The objectives by their names; `loss:TEXT` is the loss on one text. SpecError lists those without a measure."""
    known: Mapping[str, Objective] = {
        "loss": LOSS,
        **{f"loss:{text}": Objective(f"loss:{text}", f"change of loss on {text}", LOSS.unit) for text in texts},
        **({"questions": QUESTIONS} if questions else {}),
        **{name: cost.objective for name, cost in COSTS.items()},
    }
    raise_problems(_find_faults(names, known, questions=questions))
    return tuple(known[name] for name in names)


def _find_faults(names: Sequence[str], known: Collection[str], *, questions: bool) -> Iterator[Problem]:
    for name in dict.fromkeys(names):
        if name == QUESTIONS.name and not questions:
            yield Problem("there are no questions for the objective 'questions'", "name a file: --questions FILE")
        elif name not in known:
            yield Problem(f"there is no objective '{name}'", f"there are: {', '.join(known)}")
        elif names.count(name) > 1:
            yield Problem(f"the objective '{name}' is named twice", "keep one of the two")
