"""Lists by name what measures stacks: this process alone, or the workers of a cluster."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from stacker.measure.workers.on_ray import open_workers
from stacker.measure.workers.workers import HERE, Workers

Open = Callable[[], AbstractContextManager[Workers]]

EXECUTORS: dict[str, Open] = {"local": lambda: nullcontext(HERE), "ray": open_workers}
"""What opens the workers, by the name of the executor; the names are those of `stacker.run.executors`."""
