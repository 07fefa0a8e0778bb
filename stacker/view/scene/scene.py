"""Collects in one object, the scene, everything that the views of a stack show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stacker.arch.files.architecture import Architecture
from stacker.core.clients.verdicts import Verdict
from stacker.core.plan.plan import Plan
from stacker.core.stack.graph import Junction, StackGraph, find_junctions
from stacker.core.study.build_time import DEFAULT_SPEEDS, Speeds
from stacker.core.study.figures import Figures, make_figures
from stacker.core.study.jump_severity import Comparison, rate_jumps
from stacker.core.study.layer_differences import Change, find_changes
from stacker.core.values.donor import Donor
from stacker.errors import Problem


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that the views of one stack show; `plan` and `figures` are None if the stack cannot be built.

    `lints` are warnings and notes about weak points of the stack, `figures` are its sizes and costs, and `verdicts` say
    which programs compute it correctly. `jumps` are the junctions: the places where two output layers meet that are not
    made from consecutive layers of one donor. `changes` says what differs there, and `turns` how far the residual
    stream turns there, where a probe has measured it. `severities` says what each jump is comparable to; None if it
    changes nothing. All four are by the index of the output layer after the junction.
    """

    name: str
    graph: StackGraph
    donors: Mapping[str, Donor]
    lints: tuple[Problem, ...]
    jumps: Mapping[int, Junction]
    changes: Mapping[int, tuple[Change, ...]]
    severities: Mapping[int, Comparison | None]
    plan: Plan | None = None
    figures: Figures | None = None
    verdicts: tuple[Verdict, ...] = ()
    turns: Mapping[int, float] = field(default_factory=dict)

    @property
    def family(self) -> Architecture:
        """The architecture of the donor whose config is the starting point of the stack's config."""
        return self.donors[self.graph.template].architecture


def make_scene(
    name: str,
    graph: StackGraph,
    donors: Mapping[str, Donor],
    plan: Plan | None,
    lints: tuple[Problem, ...],
    verdicts: tuple[Verdict, ...],
    speeds: Speeds = DEFAULT_SPEEDS,
) -> Scene:
    """Make the scene of a stack and compute its figures; `plan` is None if the stack has errors.

    The build time is estimated with the `speeds` of this machine.
    """
    figures = make_figures(graph, donors, plan, speeds) if plan else None
    jumps = {junction.index: junction for junction in find_junctions(graph)}
    changes = find_changes(jumps.values(), donors)
    severities = rate_jumps(graph, jumps.values(), donors)
    return Scene(name, graph, donors, lints, jumps, changes, severities, plan, figures, verdicts)
