"""Shows on standard error how a map of edits grows: as a drawing on a terminal, otherwise as a line for each edit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.live import Live

from stacker.cli.terminal.printing import make_console
from stacker.measure.probes.edits import Edit
from stacker.measure.probes.results import DepthMap
from stacker.view.probes.terminal import HeatMap

INTERVAL = 2.0
"""Seconds between two drawings."""
Show = Callable[[DepthMap, Edit], None]


@contextmanager
def show_growth(*, quiet: bool) -> Iterator[Show]:
    """Yield a function of the map so far and the newest edit, which shows them; if `quiet`, it does nothing."""
    console = make_console(stderr=True)
    if quiet:
        yield lambda _found, _edit: None
    elif not console.is_terminal:
        yield lambda found, edit: console.print(_edit_text(found, edit))
    else:
        last = 0.0
        with Live(console=console, transient=True, auto_refresh=False) as shown:

            def draw(found: DepthMap, _edit: Edit) -> None:
                nonlocal last
                if time.monotonic() - last > INTERVAL:
                    last = time.monotonic()
                    shown.update(HeatMap(found), refresh=True)

            yield draw


def _edit_text(found: DepthMap, edit: Edit) -> str:
    mean = next(change.alone.mean for change in found.changes if change.edit == edit)
    best = found.refined
    count = f"refined {best}/{best + found.unrefined}" if best else f"{len(found.changes)}/{found.total}"
    return f"{count} {edit}: {mean:+.4f}"
