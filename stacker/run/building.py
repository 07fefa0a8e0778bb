"""What goes into a build and comes out of it, and its last steps: writing the weights and naming the output."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rich import filesize

from stacker.core.plan.plan import Plan, Report
from stacker.core.plan.shard_layout import LayoutKind
from stacker.core.plan.tasks import Task
from stacker.errors import Mark, Problem, Severity
from stacker.io.donors.streaming import OBTAIN, DonorAccess, Obtain
from stacker.io.output.folder import Output
from stacker.progress import Watch, ignore_watch
from stacker.run.compute.finiteness import describe_non_finite
from stacker.run.executors import EXECUTORS
from stacker.run.resume import check_earlier_work
from stacker.run.work.sources import OpenFiles


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """Options of a build; `max_memory` is in bytes.

    `force` replaces an existing output folder, `restart` begins anew instead of continuing an interrupted build, and
    `digests` reads the shards once more to store their SHA-256 in the lock file. `access` says whether weights on
    servers are fetched first or read by ranges while the output is written. Of all options, only `device` can
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
    access: DonorAccess = DonorAccess.FETCH

    @property
    def obtain(self) -> Obtain:
        """The function that makes the donors' weights readable."""
        return OBTAIN[self.access]

    @property
    def is_usual(self) -> bool:
        """Whether the build uses all of this machine, so that its time says something about later builds."""
        how = replace(self, force=False, restart=False, layout=LayoutKind.AUTO, digests=False)
        return how == DEFAULTS


DEFAULTS = BuildOptions()


@dataclass(frozen=True, slots=True, repr=False)
class Built:
    """The result of a build: the plan that was carried out, a report of what was written, and its place."""

    plan: Plan
    report: Report
    out: Path | str

    def __repr__(self) -> str:
        size = f"{self.plan.total_parameters:,} parameters, {self.plan.total_size:,} bytes"
        return f"<Built {str(self.out)!r}: {size}, {len(self.plan.shards)} shards, plan {self.plan.id}>"


def _ignore_warnings(problems: Sequence[Problem]) -> None:
    del problems


@dataclass(frozen=True, slots=True)
class Listener:
    """Functions that a build calls, with its progress in bytes or with warnings.

    The activities are writing the output, fetching donors from the hub, and checking what an earlier run has written.
    """

    writing: Watch = ignore_watch
    fetching: Watch = ignore_watch
    checking: Watch = ignore_watch
    warn: Callable[[Sequence[Problem]], None] = _ignore_warnings


SILENT = Listener()
"""Ignores everything."""


def write_weights(
    plan: Plan, tasks: Sequence[Task], output: Output, options: BuildOptions, listener: Listener
) -> Report:
    """Do the tasks that earlier runs have not done, or whose work cannot be trusted; returns a report.

    The listener is warned of computed values that are infinite or not a number.
    """
    how = {"workers": options.workers, "max_memory": options.max_memory}
    earlier = check_earlier_work(plan, tasks, output, listener.checking, **how)
    listener.warn(earlier.problems)
    with _announce_kept_work(tasks, output, listener):
        execute = EXECUTORS[options.executor]
        report = execute(plan, tasks, output, **how, device=options.device, watch=listener.writing)
    found = {*earlier.non_finite, *report.non_finite}
    steps = [step for step in plan.steps if step.tensor.name in found]
    if steps:
        with closing(OpenFiles(output.caches)) as sources:
            listener.warn((describe_non_finite(steps, tasks, sources),))
    return replace(report, non_finite=tuple(step.tensor.name for step in steps))


@contextmanager
def _announce_kept_work(tasks: Sequence[Task], output: Output, listener: Listener) -> Iterator[None]:
    """Tell the listener what an earlier run has left and, if the `with` block does not end, what this run leaves."""
    total = sum(task.nbytes for task in tasks)

    def note(words: str, hint: str = "") -> None:
        kept = sum(task.nbytes for task in tasks if task.id in output.recorded)
        message = f"{words} {filesize.decimal(kept)} of {filesize.decimal(total)}"
        listener.warn((Problem(message, hint, Mark(str(output.folder)), Severity.NOTE),))

    if output.recorded:
        note("going on: an earlier run wrote")
    try:
        yield
    except BaseException as error:  # among them those of signals
        if output.recorded and not output.committed:
            ended = "ended by an error" if isinstance(error, Exception) else "interrupted"
            note(f"{ended}: this folder keeps", "the same command goes on; --restart starts over")
        raise


def commit_output(output: Output, out: Path, listener: Listener) -> None:
    """Give a finished output its name `out`.

    If a signal ends the program after that, the listener is told that the output is complete.
    """
    try:
        listener.warn(output.commit())
    except BaseException:  # among them those of signals
        if output.committed:
            hint = f"what is left of the folder that it replaced, {out.name}.replaced-*, may be deleted"
            listener.warn((Problem("the output is complete", hint, Mark(str(out)), Severity.NOTE),))
        raise
