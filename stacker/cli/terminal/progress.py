"""Progress on standard error: a bar with bytes, bytes/s and time left on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich import filesize
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from stacker.cli.terminal.printing import make_console
from stacker.progress import Watch
from stacker.view.scene.formatting import seconds_text

EVERY = 10.0
"""Seconds between two lines where there is no terminal."""


@contextmanager
def show_progress(*whats: str, quiet: bool) -> Iterator[tuple[Watch, ...]]:
    """Something to tell of progress while each of `whats` goes on; each is shown once it has begun."""
    console = make_console(stderr=True)
    if quiet:
        yield tuple(_unseen for _ in whats)
    elif console.is_terminal:
        with _bar(console) as bar:
            yield tuple(_task(what, bar) for what in whats)
    else:
        yield tuple(_lines(what, console) for what in whats)


def _unseen(_done: int, _total: int) -> None:
    """Show nothing."""


def _task(what: str, bar: Progress) -> Watch:
    task: TaskID | None = None

    def tell(done: int, total: int) -> None:
        nonlocal task
        if task is None:
            task = bar.add_task(what)
        bar.update(task, completed=done, total=total)

    return tell


def _bar(console: Console) -> Progress:
    columns = (DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    return Progress(TextColumn("{task.description}"), BarColumn(), *columns, console=console, transient=True)


def _lines(what: str, console: Console) -> Watch:
    start = last = 0.0

    def tell(done: int, total: int) -> None:
        nonlocal start, last
        now = time.monotonic()
        start, last = start or now, last or now
        if now - last < EVERY or not done:
            return
        last = now
        speed = done / (now - start)
        left = seconds_text((total - done) / speed) if total > done else "0 s"
        sizes = f"{filesize.decimal(done)} of {filesize.decimal(total)}, {filesize.decimal(int(speed))}/s"
        console.print(f"{what}: {sizes}, {left} left")

    return tell
