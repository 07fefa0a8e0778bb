"""The table of executors: to add one, write its file and its row here."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Protocol

from stacker.core.plan.plan import Plan, Report
from stacker.core.plan.tasks import Compute, CopyColumns, CopyRun, Task
from stacker.io.disk.moves import can_clone
from stacker.io.disk.space import allocated_bytes
from stacker.io.output.folder import Output
from stacker.progress import Watch, ignore_watch
from stacker.run import local
from stacker.run.compute.device import HOST


class Executor(Protocol):
    """Turns a plan into the bytes of an output; resumes from `output.done` and records there what it has done."""

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


def new_bytes(tasks: Sequence[Task], folder: Path, block: int | None) -> int:
    """Bytes that the tasks will take of the filesystem that `folder` is on; `block` when it can clone the donors'."""
    return sum(_new_bytes(task, folder, block) for task in tasks)


def _new_bytes(task: Task, folder: Path, block: int | None) -> int:
    match task:
        case CopyRun(file=file, source=source, offset=offset, nbytes=nbytes):
            path = Path(str(file.path))
            if block and (offset - source) % block == 0 and _clones(path, folder):
                return min(nbytes, 2 * block)
            return allocated_bytes(path, source, nbytes)
        case Compute(nbytes=nbytes) | CopyColumns(nbytes=nbytes):
            return nbytes
        case _:
            return 0


@cache
def _clones(path: Path, folder: Path) -> bool:
    return can_clone(path, folder) is not None


def clone_block(paths: Sequence[Path], folder: Path) -> int | None:
    """The block size when blocks of any of these files can be cloned into `folder`; None when of none."""
    blocks = (can_clone(path, folder) for path in paths)
    return next((block for block in blocks if block), None)
