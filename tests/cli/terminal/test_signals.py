"""Signals end a command wherever they arrive."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

_LOST = """
import os, signal, sys, time
from stacker.cli.terminal.signals import end_on_signals
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells ignore it for programs in the background
class Last:
    def __del__(self):
        os.kill(os.getpid(), int(sys.argv[1]))
        time.sleep(5)
end_on_signals()
try:
    Last()
    time.sleep(5)
except BaseException as error:
    print(repr(error))
"""


@pytest.mark.parametrize(
    ("number", "raised"),
    [(signal.SIGTERM, "SystemExit(143)"), (signal.SIGINT, "KeyboardInterrupt()")],
    ids=["SIGTERM", "SIGINT"],
)
def test_a_signal_inside_a_finalizer_is_not_lost(number: signal.Signals, raised: str) -> None:
    """What a handler raises inside a finalizer, where Python drops it, is raised again after the finalizer."""
    command = [sys.executable, "-c", _LOST, str(int(number))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    assert (done.stdout, done.stderr) == (f"{raised}\n", "")


def test_other_dropped_exceptions_are_reported() -> None:
    """An exception that no signal has raised is reported as Python does."""
    script = _LOST.replace("os.kill(os.getpid(), int(sys.argv[1]))", "1 / 0").replace("sleep(5)", "sleep(0)")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=20)
    assert "ZeroDivisionError" in done.stderr
