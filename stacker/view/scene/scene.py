"""Collects in one object, the scene, everything that the views of a stack show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stacker.arch.files.architecture import Architecture
from stacker.core.clients.verdicts import Verdict
from stacker.core.plan.plan import Plan
from stacker.core.stack.graph import Junction, StackGraph, find_junctions
from stacker.core.study.figures import Figures, make_figures
from stacker.core.values.donor import Donor
from stacker.errors import Problem


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that the views of one stack show; `plan` and `figures` are None if the stack cannot be built.

    `lints` are warnings and notes about weak points of the stack, `figures` are its sizes and costs, and `verdicts` say
    which programs compute it rightly.
    """

    name: str
    graph: StackGraph
    donors: Mapping[str, Donor]
    lints: tuple[Problem, ...]
    plan: Plan | None = None
    figures: Figures | None = None
    verdicts: tuple[Verdict, ...] = ()

    @property
    def family(self) -> Architecture:
        """The architecture of the donor whose config is the starting point of the stack's config."""
        return self.donors[self.graph.template].architecture

    @property
    def jumps(self) -> dict[int, Junction]:
        """The junctions of the stack, each by the index of the output layer after it.

        A junction is where two output layers meet that are not made from consecutive layers of one donor.
        """
        return {junction.index: junction for junction in find_junctions(self.graph)}


def make_scene(
    name: str,
    graph: StackGraph,
    donors: Mapping[str, Donor],
    plan: Plan | None,
    lints: tuple[Problem, ...],
    verdicts: tuple[Verdict, ...],
) -> Scene:
    """Make the scene of a stack and compute its figures; `plan` is None if the stack has errors."""
    figures = make_figures(graph, donors, plan) if plan else None
    return Scene(name, graph, donors, lints, plan, figures, verdicts)
