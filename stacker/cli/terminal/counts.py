"""Shows progress that is counted, such as tokens, on standard error: a bar in a terminal, else a line every 10 s."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stacker.cli.terminal.printing import make_console
from stacker.cli.terminal.progress import INTERVAL
from stacker.progress import Watch, ignore_watch

if TYPE_CHECKING:
    from rich.progress import Progress

WatchFor = Callable[[str], Watch]
"""A function that gives a Watch for an activity."""


@contextmanager
def show_counts(*, quiet: bool) -> Iterator[WatchFor]:
    """Yield a function that makes progress callbacks, each shown once it is called; nothing is shown if `quiet`."""
    console = make_console(stderr=True)
    if quiet:
        yield lambda _activity: ignore_watch
    elif console.is_terminal:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            yield lambda activity: _watch_bar(bar, activity)
    else:
        yield lambda activity: _watch_lines(lambda line: console.print(line), activity)


def _watch_bar(bar: Progress, activity: str) -> Watch:
    tasks = [bar.add_task(activity, visible=False)]

    def watch(done: int, total: int) -> None:
        bar.update(tasks[0], completed=done, total=total, visible=True)

    return watch


def _watch_lines(write: Callable[[str], None], activity: str) -> Watch:
    last = time.monotonic()

    def watch(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= INTERVAL:
            last = now
            write(f"{activity}: {done:,} of {total:,}")

    return watch
