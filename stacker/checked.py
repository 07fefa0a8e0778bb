"""The value that composing makes: a spec whose donors have been read, and whose stack has been checked.

It knows its plan, its lints and its pictures; what reads and writes weights is in `stacker.compose`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from rich.console import Group

from stacker.core.checks.lints import lint
from stacker.core.clients.problems import require_clients
from stacker.core.clients.verdicts import Verdict, judge_clients, judge_gguf_clients
from stacker.core.config.containers import find_container
from stacker.core.plan.plan import Plan
from stacker.core.plan.planning import make_plan
from stacker.core.plan.shard_layout import Layout
from stacker.core.plan.tensors import PlannedTensors
from stacker.core.side_files.selection import SideFiles
from stacker.core.stack.graph import StackGraph
from stacker.core.values.donor import Donor
from stacker.core.values.metadata import MetadataEntry
from stacker.errors import Problem, StackerError, raise_problems, select_errors
from stacker.formats.json_object import Json
from stacker.io.speeds import read_speeds
from stacker.spec.language.stack_spec import StackSpec
from stacker.spec.parser import write_parameters
from stacker.view.scene.scene import Scene, make_scene
from stacker.view.stack.preview import draw_preview


@dataclass(frozen=True, slots=True, repr=False)
class CheckedStack:
    """A spec whose donors have been read, without their weights, and whose stack has been checked.

    `problems` lists all errors and warnings; if there is an error, `planned` is None and `config` may be empty.
    `folder` is where relative paths in the spec start, and `nested` maps the path of the spec of each donor that is
    itself a stack to the text of that spec.
    """

    text: bytes
    folder: Path
    spec: StackSpec
    donors: Mapping[str, Donor]
    graph: StackGraph
    config: Mapping[str, Json]
    planned: PlannedTensors | None
    problems: tuple[Problem, ...]
    side_files: SideFiles
    nested: Mapping[str, str] = field(default_factory=dict)
    metadata: tuple[MetadataEntry, ...] = ()

    def plan(self, layout: Layout | None = None) -> Plan:
        """Make the plan of a build; if the stack has errors, raise all of them together.

        If `layout` is None, shards have the size that the spec sets.
        """
        raise_problems(self.problems)
        if self.planned is None:
            raise StackerError.of("a stack without problems has no tensors")
        chosen = layout or self.layout()
        known = self.planned, dict(self.config), chosen, self.metadata
        return make_plan(self.spec.name, self.graph, self.donors, *known)

    def layout(self, block: int | None = None) -> Layout:
        """The layout with shards of the size that the spec sets, or that is usual for the container."""
        size = self.spec.output.shard_size or find_container(self.graph, self.donors).shard_size
        return Layout(size, block)

    def write_spec(self) -> bytes:
        """The text of the spec, with the values that were set from outside in it."""
        return write_parameters(self.text, self.spec)

    def in_shards(self, size: int) -> Self:
        """A copy of the stack whose shards have at most `size` bytes of tensors each."""
        return replace(self, spec=replace(self.spec, output=replace(self.spec.output, shard_size=size)))

    def verdicts(self) -> tuple[Verdict, ...]:
        """Which programs compute this stack as transformers does, and why others do not; empty if it has errors."""
        if not self.planned or select_errors(self.problems):
            return ()
        if self.metadata:
            return judge_gguf_clients(self.donors[self.graph.template])
        return judge_clients(self.graph, self.donors, self.config, self.planned.tied)

    def lints(self) -> tuple[Problem, ...]:
        """Warnings, then notes: weak points of the stack, and programs that do not compute it correctly."""
        return lint(self.graph, self.donors, self.spec, self.verdicts())

    def for_clients(self, names: Sequence[str]) -> Self:
        """A copy of the stack with an error for each program in `names` that does not compute it correctly."""
        more = require_clients(names, self.verdicts(), self.graph, self.donors)
        return replace(self, problems=(*self.problems, *more))

    def scene(self, plan: Plan | None = None) -> Scene:
        """The data from which pictures of the stack are drawn, without figures if the stack has errors."""
        known = plan or (None if select_errors(self.problems) else self.plan())
        return make_scene(self.spec.name, self.graph, self.donors, known, self.lints(), self.verdicts(), read_speeds())

    def preview(self) -> Group:
        """A picture of the stack for the terminal, as an object that the library rich can print."""
        return draw_preview(self.scene())

    def _repr_html_(self) -> str:
        """The HTML of an interactive picture of the stack, which notebooks display."""
        from stacker.view.files.page import html_frame_text

        return html_frame_text(self.scene())

    def __repr__(self) -> str:
        return f"<Stack {self.spec.name!r}: {len(self.graph.layers)} layers of {', '.join(self.donors)}>"
