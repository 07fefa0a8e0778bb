"""Progress on standard error: a bar with bytes, bytes/s and time left on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from stacker.view.quantities import bytes_text, seconds_text

EVERY = 10.0
"""Seconds between two lines where there is no terminal."""

Watch = Callable[[int, int], None]
"""Told how many bytes are done, and of how many."""


@contextmanager
def watching(what: str, *, quiet: bool) -> Iterator[Watch]:
    """Something to tell of progress while `what` goes on."""
    console = Console(stderr=True)
    if quiet:
        yield lambda _done, _total: None
    elif console.is_terminal:
        with _bar(console) as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
    else:
        yield _lines(what, console)


def _bar(console: Console) -> Progress:
    columns = (DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    return Progress(TextColumn("{task.description}"), BarColumn(), *columns, console=console, transient=True)


def _lines(what: str, console: Console) -> Watch:
    start = last = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < EVERY or not done:
            return
        last = now
        speed = done / (now - start)
        left = seconds_text((total - done) / speed) if total > done else "0 s"
        console.print(f"{what}: {bytes_text(done)} of {bytes_text(total)}, {bytes_text(speed)}/s, {left} left")

    return tell
