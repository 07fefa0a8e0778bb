"""Runs stacker's commands in child processes, and judges how they ended and what they left on the disk."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stacker.cli import main
from stacker.cli.terminal.signals import end_on_signals
from stacker.formats.gguf_names import SUFFIX

PATIENCE = 60.0
"""Seconds after which a command counts as hanging."""
_PRINTED = 1 << 20
"""The most bytes that a command can print; one that prints more would hang."""
STATED = {0, 2, 3, 4, 5, 6, 7, 130, 143}
"""The exit codes that a user can meet; 1 is a defect of the program."""
INTERRUPTED = {0, -signal.SIGKILL, 130, 143}
"""The exit codes with which a complete output may stand; signals can come after the output has got its name."""
JOURNAL = ".journal"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: its exit code, negative for a signal, None if it hangs, and what it printed.

    `seconds` is processor time, and `peak` bytes of resident memory, including those of the process it was forked from.
    """

    code: int | None
    text: str
    seconds: float = 0.0
    peak: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a stack is built: `words` are the arguments of the build, and `folder` contains everything it touches.

    `right` is the content of the complete output by file name, and `old` what stood there before, or None. `name` is
    that of the output: a folder, or a GGUF file, which may be written in parts.
    """

    folder: Path
    words: tuple[str, ...]
    right: dict[str, bytes]
    old: dict[str, bytes] | None = None
    name: str = "out"

    @property
    def out(self) -> Path:
        return self.folder / self.name

    def read_output(self) -> dict[str, bytes] | None:
        """The bytes of each file of the output by name; None if it is absent: a GGUF file is without its first part."""
        if not self.name.endswith(SUFFIX):
            return read_content(self.out)
        files = {path.name: path.read_bytes() for path in self.folder.glob(f"out*{SUFFIX}")}
        return files if any(name == self.name or "-00001-of-" in name for name in files) else None


def do_nothing() -> None:
    """Disturb nothing."""


@dataclass(frozen=True, slots=True)
class Running:
    """A command in a child process, and a pipe with what it prints."""

    pid: int
    printed: int


def start(folder: Path, words: tuple[str, ...], disturb: Callable[[], object] = do_nothing) -> Running:
    """Start a command in a child process in `folder`, after calling `disturb` there."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PRINTED)  # it is read when the command has ended
    pid = os.fork()
    if pid:
        os.close(writing)
        return Running(pid, reading)
    code = 1
    try:
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        os.closerange(reading, writing + 1)
        os.chdir(folder)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # shells ignore it for programs in the background
        end_on_signals()
        disturb()
        code = main(list(words))
    except KeyboardInterrupt:  # before the program has begun, as in stacker/__main__.py
        code = 130
    except SystemExit as end:
        code = int(str(end.code))
    except BaseException:  # the child must not go on as this program
        os.write(2, traceback.format_exc().encode())
    finally:
        with suppress(BaseException):
            sys.stderr.flush()
        os._exit(code)


def finish(running: Running) -> Ended:
    """Wait until a command ends; it is killed if it takes too long."""
    end, code = time.monotonic() + PATIENCE, None
    while code is None and time.monotonic() < end:
        ended, status, usage = os.wait4(running.pid, os.WNOHANG)
        code = os.waitstatus_to_exitcode(status) if ended else None
        time.sleep(0 if ended else 0.002)
    if code is None:
        os.kill(running.pid, signal.SIGKILL)
        usage = os.wait4(running.pid, 0)[2]
    with os.fdopen(running.printed, encoding="utf-8", errors="replace") as file:
        return Ended(code, file.read(), usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def run(folder: Path, words: tuple[str, ...], disturb: Callable[[], object] = do_nothing) -> Ended:
    """Run a command in a child process and wait until it ends."""
    return finish(start(folder, words, disturb))


def read_content(folder: Path) -> dict[str, bytes] | None:
    """The bytes of each file below a folder by name, without the journal; None if there is no folder."""
    if not folder.is_dir():
        return None
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != JOURNAL)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def find_fault(place: Place, ended: Ended, *, killed: bool = False) -> str:
    """What is wrong about the end of a disturbed build and about what is on the disk afterwards; "" if nothing."""
    found = place.read_output()
    if ended.code is None:
        return f"it hangs for more than {PATIENCE:.0f} s"
    if "Traceback" in ended.text:
        return f"traceback:\n{ended.text}"
    if ended.code not in STATED and not (killed and ended.code == -signal.SIGKILL):
        return f"exit code {ended.code}:\n{ended.text}"
    if found not in (None, place.old, place.right):
        return f"the output is neither absent nor complete: {_describe_difference(found or {}, place.right)}"
    if ended.code == 0 and found != place.right:
        return "exit code 0, but the output is not there"
    if found == place.right and found != place.old and ended.code not in INTERRUPTED:
        return f"the output is complete, but the exit code is {ended.code}:\n{ended.text}"
    return ""


def find_later_fault(place: Place) -> str:
    """What is wrong about the same build without a disturbance, after one that was disturbed; "" if nothing."""
    if place.read_output() == place.right and place.old != place.right:
        return ""
    ended = run(place.folder, place.words)
    if ended.code != 0:
        return f"the next build ends with {ended.code}:\n{ended.text}"
    found = place.read_output()
    if found != place.right:
        return f"the next build differs: {_describe_difference(found or {}, place.right)}"
    if place.out.with_name(f"{place.name}.partial").exists():
        return f"the next build leaves {place.name}.partial"
    return ""


def _describe_difference(found: dict[str, bytes], right: dict[str, bytes]) -> str:
    names = sorted(name for name in found.keys() | right.keys() if found.get(name) != right.get(name))
    return ", ".join(names)


def clear(folder: Path) -> None:
    """Delete the outputs in a folder, complete and partial ones."""
    for path in folder.glob("out*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
