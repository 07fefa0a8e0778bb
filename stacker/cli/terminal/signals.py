"""Lets signals end a command, also one that arrives where Python cannot raise an exception.

A signal's handler raises an exception in the main thread. If that happens inside a finalizer or a callback of C code,
Python drops the exception, and the signal would be lost.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Any

_PAUSE = 0.01
"""Seconds after which a dropped exception is raised again."""


def end_on_signals() -> None:
    """Let SIGTERM raise SystemExit(143) in the main thread, and raise again what Python drops after a signal."""
    signal.signal(signal.SIGTERM, _terminate)
    report = sys.unraisablehook

    def raise_later(dropped: Any) -> None:
        ending: BaseException | None = dropped.exc_value
        if not isinstance(ending, SystemExit | KeyboardInterrupt):
            report(dropped)
            return

        def raise_again(number: int, frame: FrameType | None) -> None:
            del number, frame
            raise ending

        signal.signal(signal.SIGALRM, raise_again)
        signal.setitimer(signal.ITIMER_REAL, _PAUSE)

    sys.unraisablehook = raise_later


def _terminate(number: int, frame: FrameType | None) -> None:
    del frame
    raise SystemExit(128 + number)
