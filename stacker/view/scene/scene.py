"""Everything that a picture of a stack may show, in one value; every view draws this and reads nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stacker.arch.files.architecture import Architecture
from stacker.core.checks.lints import lint
from stacker.core.plan.plan import Plan
from stacker.core.stack.graph import Junction, StackGraph, find_junctions
from stacker.core.study.figures import Figures, make_figures
from stacker.core.values.donor import Donor
from stacker.errors import Problem
from stacker.spec.language.stack_spec import StackSpec


@dataclass(frozen=True, slots=True)
class Scene:
    """A stack to look at; `plan` and `figures` are None while it cannot be built."""

    name: str
    graph: StackGraph
    donors: Mapping[str, Donor]
    lints: tuple[Problem, ...]
    plan: Plan | None = None
    figures: Figures | None = None

    @property
    def family(self) -> Architecture:
        return self.donors[self.graph.template].architecture

    @property
    def jumps(self) -> dict[int, Junction]:
        """The junctions by the output layer that they stand before."""
        return {junction.index: junction for junction in find_junctions(self.graph)}


def make_scene(spec: StackSpec, graph: StackGraph, donors: Mapping[str, Donor], plan: Plan | None) -> Scene:
    """A stack as the views want it."""
    figures = make_figures(graph, donors, plan) if plan else None
    return Scene(spec.name, graph, donors, lint(graph, donors, spec), plan, figures)
