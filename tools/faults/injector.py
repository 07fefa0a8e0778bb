"""Makes chosen system calls of a build fail: compiles `injector.c`, preloads it, and arms it in a child process.

Python itself must be started with the library preloaded, so `restart_with_injector` starts the program once more.
"""

from __future__ import annotations

import ctypes
import enum
import errno
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_SOURCE = Path(__file__).with_name("injector.c")
_LIBRARY = Path(__file__).parents[2] / "build" / "faults" / "injector.so"
_FOREVER = 1 << 40


class Calls(enum.IntFlag):
    """Kinds of system calls, as in injector.c; a call can be of several kinds.

    `LOOK` asks for the state of a file or folder, `DATA` moves bytes, and `SLOW` can be interrupted by a signal.
    """

    READ = 1
    WRITE = 2
    LOOK = 4
    DATA = 8
    SLOW = 16


class Action(enum.IntEnum):
    """What happens at a call, as in injector.c."""

    KILL = 1
    SHORTEN = 2
    FAIL = 3


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to calls of some kinds: to one of them, or to all from one on (`lasting`)."""

    title: str
    action: Action
    calls: Calls
    code: int = 0
    lasting: bool = False


_ANY = Calls.READ | Calls.WRITE | Calls.LOOK
FAULTS = (
    Fault("SIGKILL before it", Action.KILL, Calls.WRITE),
    Fault("EIO, once", Action.FAIL, _ANY, errno.EIO),
    Fault("ENOSPC, once", Action.FAIL, Calls.WRITE, errno.ENOSPC),
    Fault("EINTR, once", Action.FAIL, Calls.SLOW, errno.EINTR),
    Fault("fewer bytes than asked for", Action.SHORTEN, Calls.DATA),
    Fault("ENOSPC from there on", Action.FAIL, Calls.WRITE, errno.ENOSPC, lasting=True),
    Fault("always fewer bytes than asked for", Action.SHORTEN, Calls.DATA, lasting=True),
    Fault("EIO from there on", Action.FAIL, _ANY, errno.EIO, lasting=True),
)


def restart_with_injector() -> None:
    """Compile the library and start this program again with it; returns if it is already loaded."""
    if str(_LIBRARY) in os.environ.get("LD_PRELOAD", ""):
        return
    _LIBRARY.parent.mkdir(parents=True, exist_ok=True)
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", _LIBRARY, _SOURCE, "-ldl"], check=True)
    words = [sys.executable, "-m", "tools.faults", *sys.argv[1:]]
    os.execve(sys.executable, words, os.environ | {"LD_PRELOAD": str(_LIBRARY)})


class Injector:
    """The preloaded library; `arm` is for a child process, and the counts are those of the last child."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(str(_LIBRARY))
        self._library.faults_call.restype = ctypes.c_char_p
        long = ctypes.c_long
        self._library.faults_arm.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_int, ctypes.c_int, long, long]

    def arm(self, folder: Path, fault: Fault, number: int) -> None:
        """Let the fault happen at the call `number` (from 0) about files below `folder`."""
        last = _FOREVER if fault.lasting else number
        self._library.faults_arm(os.fsencode(folder), fault.action, fault.code, fault.calls, number, last)

    def count_calls(self) -> int:
        """How many calls of the kinds of the last armed fault were made."""
        return int(self._library.faults_made())

    def has_happened(self) -> bool:
        """Whether the last armed fault has happened."""
        return bool(self._library.faults_done())

    def find_call(self) -> str:
        """The name of the last call that was disturbed."""
        name: bytes = self._library.faults_call()
        return name.decode()
