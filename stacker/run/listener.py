"""How a build reports to its caller: with its progress, and with warnings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stacker.errors import Problem
from stacker.progress import Watch, ignore_watch


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
