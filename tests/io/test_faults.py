"""Crashes and errors at every system call: no incomplete output appears, and the next run writes the same bytes.

A small build is run again and again, and each time a later system call is its last, or fails. A power cut is simulated
by dropping all bytes and names that were not synced.
"""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from stacker.core.plan.plan import Costs, Plan, Shard
from stacker.core.plan.shard_layout import Layout
from stacker.errors import LockedError, StackerError
from stacker.io.disk import copies, direct
from stacker.io.disk.moves import move
from stacker.io.files.regular_files import open_regular
from stacker.io.output import folder
from stacker.io.output.destination import FolderDestination
from stacker.io.output.folder import open_output

RUN = 30_000
HEADER = b"header"
SHARDS = tuple(Shard(f"{number}.safetensors", HEADER, len(HEADER) + 2 * RUN) for number in range(2))
PLAN = Plan("plan", "x", {}, (), SHARDS, Layout(), (), Costs(0, 0, 0, 0))
WRITES = (
    "copy_file_range", "fdatasync", "fsync", "ftruncate", "mkdir", "open", "posix_fallocate", "pwrite", "rename",
    "unlink", "write",
)  # fmt: skip


@pytest.fixture(autouse=True)
def every_block_past_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write even single blocks past the cache, with space reserved before."""
    monkeypatch.setattr(copies, "MIN_DIRECT_BYTES", direct.DIRECT_ALIGNMENT)
    monkeypatch.setattr(direct, "_MIN_RESERVED_BYTES", direct.DIRECT_ALIGNMENT)


@pytest.fixture(autouse=True)
def one_shard_is_open_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each shard is closed when the other is needed, and opened again."""
    monkeypatch.setattr(folder, "_MOST_OPEN", 1)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder in memory, where syncs are fast."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture
def donor(place: Path) -> Path:
    """A file to copy from."""
    path = place / "donor"
    path.write_bytes(random.Random(1).randbytes(4 * RUN))
    return path


def build(donor: Path, out: Path, recorded: list[str] | None = None) -> None:
    """Two shards of two runs each, in turn and recorded one by one, a text, and a mark at the end.

    Task ids are added to `recorded` once they are safe.
    """
    recorded = [] if recorded is None else recorded
    source = open_regular(donor)
    try:
        with open_output(FolderDestination(out), PLAN, {"name": "x"}, force=False, restart=False) as output:
            assert output.done >= set(recorded)
            for number in range(4):
                shard = PLAN.shards[number % 2]
                if str(number) not in output.done:
                    with output.lease_shard(shard) as writer:
                        move(source, number * RUN, writer, len(HEADER) + number // 2 * RUN, RUN, chunk=20_000)
                    output.record([str(number)], [shard.name] if number > 1 else [])
                    recorded += [str(number)]
            output.write_texts({"config.json": b"{}"})
            with output.lease_shard(shard) as writer:
                os.pwrite(writer.fd, b"end", shard.size - 3)
            output.commit()
    finally:
        os.close(source)


def whole(donor: Path) -> dict[str, bytes]:
    """The content of a complete output, by file name."""
    data = donor.read_bytes()
    runs = [data[begin : begin + RUN] for begin in range(0, 4 * RUN, RUN)]
    last = HEADER + runs[1] + runs[3][:-3] + b"end"
    return {"0.safetensors": HEADER + runs[0] + runs[2], "1.safetensors": last, "config.json": b"{}"}


def content(folder: Path) -> dict[str, bytes]:
    """The bytes of each file in a folder, by name, without the journal."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".journal"}


def check_whole_or_absent(donor: Path, out: Path) -> None:
    """The output does not exist or is complete."""
    if out.exists():
        assert content(out) == whole(donor)


@contextmanager
def every_call(monkeypatch: pytest.MonkeyPatch, act: Callable[[int], None]) -> Iterator[None]:
    """Call `act` with a running number before each system call that writes."""
    count = iter(range(10**6))

    def wrapped(call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            act(next(count))
            return call(*arguments, **options)

        return counted

    with monkeypatch.context() as patch:
        for name in WRITES:
            patch.setattr(os, name, wrapped(getattr(os, name)))
        yield


def in_child(work: Callable[[], None]) -> int:
    """Run `work` in a forked child; returns its exit code, negative for a signal."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:  # the child must not go on as a test run
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_killed_at_any_call(donor: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After SIGKILL before any call the output is absent or complete, and the next run completes it."""
    for last in range(1000):
        out = place / str(last)

        def act(number: int, last: int = last) -> None:
            if number == last:
                os.kill(os.getpid(), signal.SIGKILL)

        with every_call(monkeypatch, act):
            ended = in_child(partial(build, donor, out))
        check_whole_or_absent(donor, out)
        if ended == 0:
            break
        assert ended == -signal.SIGKILL
        if not out.exists():
            build(donor, out)
        assert content(out) == whole(donor)
    assert last > 40


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT], ids=errno.errorcode.get)
def test_every_call_fails_once(donor: Path, place: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """When any call fails, the build raises a StackerError or works around it; the next run completes the output."""
    monkeypatch.setattr(copies, "_RETRY_PAUSES", (0, 0))
    for last in range(1000):
        out, reached = place / str(last), False

        def act(number: int, last: int = last) -> None:
            nonlocal reached
            if number == last:
                reached = True
                raise OSError(code, os.strerror(code))

        with every_call(monkeypatch, act):
            failed = _fails(donor, out)
        check_whole_or_absent(donor, out)
        if not reached:
            break
        if failed and not out.exists():
            build(donor, out)
        assert content(out) == whole(donor)
    assert last > 40


def _fails(donor: Path, out: Path) -> bool:
    try:
        build(donor, out)
    except StackerError:
        return True
    return False


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
def test_every_call_fails_from_here_on(donor: Path, place: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """When all calls from one on fail, the build raises a StackerError, and the next run completes the output.

    Calls after the output got its final name may fail without an error, because it is complete.
    """
    monkeypatch.setattr(copies, "_RETRY_PAUSES", (0, 0))
    for first in range(1000):
        out, reached = place / str(first), False

        def act(number: int, first: int = first) -> None:
            nonlocal reached
            if number >= first:
                reached = True
                raise OSError(code, os.strerror(code))

        with every_call(monkeypatch, act):
            failed = _fails(donor, out)
        assert failed == (reached and not out.exists())
        check_whole_or_absent(donor, out)
        if not reached:
            break
        if not out.exists():
            build(donor, out)
        assert content(out) == whole(donor)


class Disk:
    """What a power cut would leave: bytes of files and names in folders as they were last synced."""

    def __init__(self) -> None:
        self.files: dict[int, bytes] = {}
        self.folders: dict[int, dict[str, int]] = {}

    def sync(self, fd: int) -> None:
        """Remember the content of the file or folder that a descriptor is open on."""
        path = Path(f"/proc/self/fd/{fd}").readlink()
        if path.is_dir():
            self.folders[os.fstat(fd).st_ino] = {each.name: each.stat().st_ino for each in path.iterdir()}
        else:
            self.files[os.fstat(fd).st_ino] = path.read_bytes()

    def cut_power(self, folder: Path) -> None:
        """Restore a folder to what was synced: other names are removed, other bytes are zero."""
        names = self.folders.get(folder.stat().st_ino, {})
        for path in list(folder.iterdir()):
            inode = path.stat().st_ino
            if names.get(path.name) != inode:
                path.unlink()
            else:
                kept = self.files.get(inode, b"")
                path.write_bytes(kept.ljust(path.stat().st_size, b"\0") if path.suffix == ".safetensors" else kept)


def test_a_power_cut_at_any_call(donor: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a power cut at any call, tasks in the journal are done, and the next run completes the output."""
    whole_sync, whole_datasync = os.fsync, os.fdatasync
    for last in range(1000):
        disk, out, recorded = Disk(), place / str(last), list[str]()
        unfinished = out.with_name(out.name + ".partial")

        def act(number: int, last: int = last) -> None:
            if number == last:
                raise _PowerCutError

        def sync(fd: int, call: Callable[[int], None] = whole_sync, disk: Disk = disk) -> None:
            call(fd)
            disk.sync(fd)

        monkeypatch.setattr(os, "fsync", sync)
        monkeypatch.setattr(os, "fdatasync", lambda fd, sync=sync: sync(fd, whole_datasync))
        with every_call(monkeypatch, act), monkeypatch.context() as patch:
            patch.setattr("stacker.io.output.folder.remove_folder", lambda *_: None)
            cut = _is_cut(donor, out, recorded)
        for left in (unfinished, out):
            if left.exists():
                disk.cut_power(left)
        check_whole_or_absent(donor, out)
        if not cut:
            break
        if not out.exists():
            build(donor, out, recorded)
        assert content(out) == whole(donor)
    assert last > 40


class _PowerCutError(BaseException):
    """Ends the build like a power cut: no clean-up runs."""


def _is_cut(donor: Path, out: Path, recorded: list[str]) -> bool:
    try:
        build(donor, out, recorded)
    except _PowerCutError:
        return True
    return False


SLOW_WRITER = """
import sys, time
from pathlib import Path
from stacker.io.output.destination import FolderDestination
from stacker.io.output.folder import open_output
from tests.io.test_faults import PLAN
with open_output(FolderDestination(Path(sys.argv[1])), PLAN, {}, force=False, restart=False) as output:
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_a_killed_writer_leaves_no_lock(donor: Path, place: Path) -> None:
    """The lock of a running writer names its process; a killed writer leaves none."""
    out = place / "out"
    command = [sys.executable, "-c", SLOW_WRITER, str(out)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout
        assert writer.stdout.readline() == "locked\n"
        with pytest.raises(LockedError, match=rf"\(process {writer.pid}\)"):
            build(donor, out)
        writer.kill()
    build(donor, out)
    assert content(out) == whole(donor)
