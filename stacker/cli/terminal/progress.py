"""Shows progress on standard error.

A terminal shows a bar with bytes, bytes/s and time left; other outputs get a line of text every 10 s.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich import filesize
from rich.console import Console

from stacker.cli.terminal.printing import make_console
from stacker.progress import Watch, ignore_watch
from stacker.view.scene.tabular import seconds_text

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

INTERVAL = 10.0
"""Seconds between two progress lines if standard error is not a terminal."""


@contextmanager
def show_progress(*activities: str, quiet: bool) -> Iterator[tuple[Watch, ...]]:
    """A context manager that yields a progress callback for each of `activities`, in the same order.

    An activity is shown on standard error once its callback is called; nothing is shown if `quiet`.
    """
    console = make_console(stderr=True)
    if quiet:
        yield tuple(ignore_watch for _ in activities)
    elif console.is_terminal:
        with _make_bar(console) as bar:
            yield tuple(_watch_bar(activity, bar) for activity in activities)
    else:
        yield tuple(_watch_lines(activity, console) for activity in activities)


def _watch_bar(activity: str, bar: Progress) -> Watch:
    task: TaskID | None = None

    def watch(done: int, total: int) -> None:
        nonlocal task
        if task is None:
            task = bar.add_task(activity)
        bar.update(task, completed=done, total=total)

    return watch


def _make_bar(console: Console) -> Progress:
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    return Progress(TextColumn("{task.description}"), BarColumn(), *columns, console=console, transient=True)


def _watch_lines(activity: str, console: Console) -> Watch:
    start = last = 0.0

    def watch(done: int, total: int) -> None:
        nonlocal start, last
        now = time.monotonic()
        start, last = start or now, last or now
        if now - last < INTERVAL or not done:
            return
        last = now
        speed = done / (now - start)
        left = seconds_text((total - done) / speed) if total > done else "0 s"
        sizes = f"{filesize.decimal(done)} of {filesize.decimal(total)}, {filesize.decimal(int(speed))}/s"
        console.print(f"{activity}: {sizes}, {left} left")

    return watch
