"""Lists the executors by name; an executor runs the tasks of a plan, which write the weights of an output.

To add an executor, write its module and add a row to the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from stacker.core.plan.plan import Plan, Report
from stacker.core.plan.tasks import Task
from stacker.io.output.folder import Output
from stacker.progress import Watch, ignore_watch
from stacker.run import local, on_ray
from stacker.run.compute.device import HOST


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


EXECUTORS: dict[str, Executor] = {"local": local.execute, "ray": on_ray.execute}
