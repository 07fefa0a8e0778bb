"""A build that was interrupted resumes and writes the same bytes as an uninterrupted one."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from stacker.core.plan.plan import Plan
from stacker.core.plan.task_making import make_tasks
from stacker.core.values.donor import Donor
from stacker.core.values.expression import Scale
from stacker.errors import StorageError
from stacker.io.disk.direct import Writer
from stacker.io.output.destination import FolderDestination
from stacker.io.output.folder import Output, open_output
from stacker.run import local
from stacker.run.local import execute
from tests.run.builds import Made, build, copy, linear, make_plain_plan, random, slerp, write_plain_donor

COUNT = 12


@pytest.fixture
def donors(tmp_path: Path) -> dict[str, Donor]:
    """Two donors of a dozen tensors."""
    return {
        name: write_plain_donor(
            tmp_path / name, name, [{f"t{n:02}": random(40, 50, seed=100 * number + n) for n in range(COUNT)}]
        )
        for number, name in enumerate("ab")
    }


@pytest.fixture
def plan() -> Plan:
    """Copies, scaled copies and blends in turn, in three shards."""
    expressions = [
        expression
        for n in range(0, COUNT, 4)
        for expression in (
            copy(f"t{n:02}"),
            Scale(copy(f"t{n + 1:02}"), 0.5),
            slerp(copy(f"t{n + 2:02}"), copy(f"t{n:02}", "b"), 0.5),
            linear(copy(f"t{n + 3:02}"), copy(f"t{n:02}", "b"), weights=(1, 2)),
        )
    ]
    made = {f"o{n:02}": Made(torch.bfloat16, (40, 50), expression) for n, expression in enumerate(expressions)}
    return make_plain_plan(made, per_shard=5)


def _shards(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.glob("*.safetensors"))}


@pytest.mark.parametrize("after", [1, 2, 5, 11])
def test_an_interrupted_build_goes_on(
    tmp_path: Path, donors: dict[str, Donor], plan: Plan, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """After an interrupt at any task, the second run does only the remaining tasks, and the bytes are the same."""
    build(plan, donors, tmp_path / "whole")
    tasks = make_tasks(plan, donors)
    with monkeypatch.context() as patch:
        left = iter(range(after))
        do = local._do
        patch.setattr(local, "_do", lambda *task: do(*task) if next(left, None) is not None else _interrupt())
        with (
            pytest.raises(KeyboardInterrupt),
            open_output(FolderDestination(tmp_path / "out"), plan, {}, force=False, restart=False) as output,
        ):
            execute(plan, tasks, output, workers=1)
    report = build(plan, donors, tmp_path / "out")
    assert report.kept + report.copied + report.computed == plan.total_size
    assert report.kept or after == 1
    assert _shards(tmp_path / "out") == _shards(tmp_path / "whole")


def _interrupt() -> None:
    raise KeyboardInterrupt


def test_an_interrupt_of_the_waiting_thread_ends_the_work(tmp_path: Path, donors: dict[str, Donor], plan: Plan) -> None:
    """An exception of the watch, such as KeyboardInterrupt, stops the workers, and no thread is left."""
    before = threading.active_count()
    with (
        pytest.raises(KeyboardInterrupt),
        open_output(FolderDestination(tmp_path / "out"), plan, {}, force=False, restart=False) as output,
    ):
        execute(plan, make_tasks(plan, donors), output, watch=lambda _done, _total: _interrupt())
    assert threading.active_count() == before
    build(plan, donors, tmp_path / "out")


def test_a_disk_that_fails_ends_the_build(
    tmp_path: Path, donors: dict[str, Donor], plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the recording thread is raised by the build."""

    def fail(*_: object, **__: object) -> None:
        raise StorageError.of("cannot write: the disk is gone")

    monkeypatch.setattr(Output, "record", fail)
    with pytest.raises(StorageError, match="the disk is gone"):
        build(plan, donors, tmp_path / "out")


def test_a_full_disk_is_reported_with_its_tensor(
    tmp_path: Path, donors: dict[str, Donor], plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ENOSPC while a tensor is written is an error that names the tensor and the shard."""

    def full(_writer: Writer, _data: memoryview, _offset: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Writer, "write", full)
    with pytest.raises(StorageError, match=r"tensor 'o\d+': cannot write: No space left") as caught:
        build(plan, donors, tmp_path / "out", workers=1)
    assert "out.partial/model-00001-of-00003.safetensors" in str(caught.value)


@pytest.mark.parametrize("allowed", [0, 1, 2])
def test_threads_that_cannot_be_had(
    tmp_path: Path, donors: dict[str, Donor], plan: Plan, monkeypatch: pytest.MonkeyPatch, allowed: int
) -> None:
    """With too few threads, those that start do all the work; without a worker, a StorageError says what to do."""
    whole, started = threading.Thread.start, list[threading.Thread]()

    def start(thread: threading.Thread) -> None:
        if len(started) == allowed:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        whole(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        if allowed == 2:  # the recorder and a worker
            build(plan, donors, tmp_path / "out", workers=4)
        else:
            with pytest.raises(StorageError, match=r"does not allow another thread\n.*ulimit -u"):
                build(plan, donors, tmp_path / "out", workers=4)
    assert not any(thread.is_alive() for thread in started)


def test_a_signal_while_the_recorder_starts_leaves_no_thread(
    tmp_path: Path, donors: dict[str, Donor], plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupt right after the recording thread has started ends that thread too."""
    whole, before = threading.Thread.start, threading.active_count()

    def start(thread: threading.Thread) -> None:
        whole(thread)
        if thread.name == "recorder":
            raise SystemExit(143)

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(SystemExit):
        build(plan, donors, tmp_path / "out")
    assert threading.active_count() == before


_KILLED = """
import os, pickle, signal, sys, time
from pathlib import Path
from stacker.run import local
from tests.run.builds import build
folder = Path(sys.argv[1])
do, left = local._do, iter(range(6))
local._RECORD = 0.01
def slowly(*task):
    do(*task)
    time.sleep(0.05)
    if next(left, None) is None:
        os.kill(os.getpid(), signal.SIGKILL)
local._do = slowly
build(*pickle.loads((folder / "work").read_bytes()), folder / "out", workers=1)
"""


def test_a_killed_build_goes_on(tmp_path: Path, donors: dict[str, Donor], plan: Plan) -> None:
    """After SIGKILL, recorded tasks are not done again, and the bytes are the same."""
    build(plan, donors, tmp_path / "whole")
    (tmp_path / "work").write_bytes(pickle.dumps((plan, donors)))
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path)], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    report = build(plan, donors, tmp_path / "out")
    assert 0 < report.kept < plan.total_size
    assert _shards(tmp_path / "out") == _shards(tmp_path / "whole")
