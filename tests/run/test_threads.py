"""torch beside other work: there when it is waited for, one thread for each of ours, and as before afterwards."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
import torch

from stacker.run.threads import torch_beside

LATE = """
import builtins, sys, threading
real, gate = builtins.__import__, threading.Event()
def late(name, *rest):
    if name == "torch":
        gate.wait()
    return real(name, *rest)
builtins.__import__ = late
from stacker.run.threads import torch_beside
with torch_beside() as ready:
    print("torch" in sys.modules)
    gate.set()
    ready()
    print("torch" in sys.modules)
"""


def test_work_goes_on_during_the_import() -> None:
    """What is inside runs before torch is there; waiting for it brings it."""
    done = subprocess.run([sys.executable, "-c", LATE], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_one_thread_inside_as_many_as_before_afterwards() -> None:
    """In every thread that waited."""
    before = torch.get_num_threads()
    found: list[int] = []
    torch.set_num_threads(2)

    def work() -> None:
        ready()
        found.append(torch.get_num_threads())

    with torch_beside() as ready:
        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (found, torch.get_num_threads()) == ([1, 1], 2)
    torch.set_num_threads(before)


def test_an_error_inside_goes_through() -> None:
    """The import is over by then."""
    with pytest.raises(ZeroDivisionError), torch_beside():
        _ = 1 / 0
    assert threading.active_count() == len([thread for thread in threading.enumerate() if "torch" not in thread.name])
