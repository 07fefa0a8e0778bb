"""Lists the executors by name, and the options of a build; an executor runs the tasks of a plan.

To add an executor, write its module and add a row to the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from stacker.core.plan.plan import LayoutKind, Plan, Report
from stacker.core.plan.tasks import Task
from stacker.io.output.folder import Output
from stacker.progress import Watch, ignore_watch
from stacker.run import local
from stacker.run.compute.device import HOST


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """Options of a build; `max_memory` is in bytes.

    `force` replaces an existing output folder, `restart` begins anew instead of continuing an interrupted build, and
    `digests` reads the shards once more to store their SHA-256 in the lock file. Of all options, only `device` can
    change the values of tensors, because devices round differently.
    """

    force: bool = False
    restart: bool = False
    workers: int | None = None
    max_memory: int | None = None
    layout: LayoutKind = LayoutKind.AUTO
    device: str = "cpu"
    digests: bool = False
    executor: str = "local"


DEFAULTS = BuildOptions()


@dataclass(frozen=True, slots=True)
class Built:
    """The result of a build: the plan that was carried out, and a report of what was written."""

    plan: Plan
    report: Report


class Executor(Protocol):
    """A function that does the tasks of a plan that are not in `output.done`, and records them in `output` as done."""

    def __call__(
        self,
        plan: Plan,
        tasks: Sequence[Task],
        output: Output,
        *,
        workers: int | None = None,
        max_memory: int | None = None,
        device: str = HOST,
        watch: Watch = ignore_watch,
    ) -> Report: ...


EXECUTORS: dict[str, Executor] = {"local": local.execute}
