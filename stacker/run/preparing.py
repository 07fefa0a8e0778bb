"""Prepares the work of a build: small files and weights of donors that are elsewhere, and the tasks of the plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stacker.core.plan.plan import Plan
from stacker.core.plan.planning import find_files
from stacker.core.plan.task_making import make_tasks
from stacker.core.plan.tasks import Task
from stacker.core.side_files.selection import SideFiles
from stacker.core.stack.graph import StackGraph
from stacker.core.values.donor import Donor, collect_donors
from stacker.errors import raise_problems
from stacker.io.disk.space import check_space, count_new_bytes
from stacker.io.donors.gguf_headers import fill_headers
from stacker.io.donors.side_files import check_side_files, fetch_side_files
from stacker.io.files.paths import find_nearest_folder
from stacker.run.building import BuildOptions, Listener
from stacker.spec.language.stack_spec import StackSpec


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be written by `plan`: the shards, by `tasks` from `donors`, and the `side_files` beside them.

    `summary` describes the plan for the error that a later run with another plan gets.
    """

    plan: Plan
    tasks: Sequence[Task]
    donors: Mapping[str, Donor]
    side_files: SideFiles
    summary: Mapping[str, str]

    @property
    def side_names(self) -> list[str]:
        """The names of the side files."""
        return [each.file.name for each in self.side_files.carried]


class ReadStack(Protocol):
    """What of a stack is needed to prepare its work."""

    @property
    def spec(self) -> StackSpec: ...

    @property
    def graph(self) -> StackGraph: ...

    @property
    def donors(self) -> Mapping[str, Donor]: ...

    @property
    def side_files(self) -> SideFiles: ...


def prepare_work(stack: ReadStack, plan: Plan, options: BuildOptions, listener: Listener) -> Work:
    """Make the donors' files readable that `plan` needs, and make its tasks; see BuildOptions for errors.

    Side files that have to be fetched are checked once they are here, and what is wrong with them is raised.
    """
    known = collect_donors(stack.donors)
    side_files = fetch_side_files(stack.side_files)
    if side_files != stack.side_files:
        raise_problems(check_side_files(side_files, stack.spec, stack.graph, stack.donors))
    donors = options.obtain(known, find_files(plan, known), listener.fetching)
    summary = {"name": plan.name, "layers": str(len(stack.graph.layers)), "donors": ", ".join(stack.donors)}
    plan = fill_headers(plan, donors)
    return Work(plan, make_tasks(plan, donors), donors, side_files, summary)


def check_room(out: Path, work: Work) -> None:
    """Raise a StorageError when the disk of the output folder `out` has less room than the work needs."""
    check_space(out, count_new_bytes(work.tasks, find_nearest_folder(out), work.plan.layout.block))
