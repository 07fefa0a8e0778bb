"""eval, probe, sweep and search with workers: the figures of one process, also when a worker is killed.

The workers are those of a real Ray cluster of three node processes or, without Ray, copies in this process.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from stacker.measure.workers.executors import EXECUTORS
from tests.cli.commands import run
from tests.measure.donors_with_words import make_text, write_worded
from tests.pickled_workers import PickledWorkers
from tests.ray_cluster import kill_worker, run_cluster

pytestmark = pytest.mark.filterwarnings("ignore")
needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")

BLEND = """\
stacker: 1
name: blend
parameters: {t: {value: 0.5, range: [0, 1]}, cut: {value: 3, range: [1, 5], step: 1}, broken: 0}
donors: {a: ./a, b: ./b}
stack:
  - a[0:${cut}]
  - {blend: ["a[2:6]", "b[2:6]"], op: linear, weight: ["${t}", 0.5]}
  - b[${cut+broken}:6]
"""
TEXT = ("--text", "text.txt")
SMALL = (*TEXT, "--passage", "40", "--window", "32")
QUESTIONS = [{"prompt": f"w{at} w3", "choices": [" w1", " w2 w5"], "answer": at % 2} for at in range(12)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two donors, a spec and a text."""
    home = write_worded(tmp_path_factory.mktemp("home"), "a", "b")
    (home / "blend.yml").write_text(BLEND)
    (home / "text.txt").write_text(make_text(3000))
    (home / "asked.jsonl").write_text("\n".join(map(json.dumps, QUESTIONS)))
    return home


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster whose workers, like this process, compute with one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with run_cluster() as cluster:
            yield cluster
    finally:
        torch.set_num_threads(threads)


@pytest.fixture(params=["copies", pytest.param("ray", marks=[needs_ray, pytest.mark.slow])])
def workers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What stands behind `--executor ray`: a cluster, or copies in this process."""
    kind: str = request.param
    if kind == "ray":
        request.getfixturevalue("cluster")
    else:
        monkeypatch.setitem(EXECUTORS, "ray", lambda: nullcontext(PickledWorkers()))
    return kind


@pytest.fixture(autouse=True)
def _at_home(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder, and an empty cache."""
    monkeypatch.chdir(home)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def ask(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """What a command says with --json; it must end well."""
    code, out, err = run(capsys, *words, "--json")
    assert code == 0, out + err
    found: dict[str, Any] = json.loads(out)
    return found


def ask_both(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *words: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a command says in one process, and on the cluster with a cache of its own."""
    here = ask(capsys, *words)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    return here, ask(capsys, *words, "--executor", "ray")


@pytest.mark.usefixtures("workers")
@pytest.mark.parametrize("more", [("--no-cache",), ()], ids=["without-cache", "with-cache"])
def test_eval(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, more: tuple[str, ...]
) -> None:
    """All figures of eval are those of one process to the last digit, and the cache of this machine has them."""
    words = ("eval", "a", "blend.yml", "b", *SMALL, "--questions", "asked.jsonl", "--generate", "1", *more)
    here, there = ask_both(capsys, monkeypatch, tmp_path, *words)
    assert there == here
    if not more:
        assert ask(capsys, *words)["cached"] == 9


def test_sweep(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, workers: str
) -> None:
    """A sweep is that of one process while a worker is killed: also its log, its failed points and its judgement."""
    words = ("sweep", "blend.yml", *SMALL, "--questions", "asked.jsonl", "-p", "t=0:1:0.25", "-p", "broken=0,9")
    here = ask(capsys, *words, "--log", str(tmp_path / "here.jsonl"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    with killing("_measure") as killed:
        there = ask(capsys, *words, "--log", str(tmp_path / "there.jsonl"), "--executor", "ray")
    assert killed or workers == "copies"
    assert there == here
    assert (tmp_path / "there.jsonl").read_text() == (tmp_path / "here.jsonl").read_text()
    assert {bool(trial.get("failure")) for trial in here["trials"]} == {True, False}


@pytest.mark.usefixtures("workers")
@pytest.mark.parametrize("more", [(), ("--arrange", "--objective", "loss,questions,size")], ids=["values", "orders"])
def test_search(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    home: Path,
    more: tuple[str, ...],
) -> None:
    """A search tries the same candidates with the same values, races them as in one process, and finds the same."""
    limits = ("--window", "16", "--passages", "8", "--candidates", "40", "--seed", "3")
    words = ("search", "blend.yml", *TEXT, "--questions", "asked.jsonl", *limits, *more)
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b", "blend.yml", "text.txt", "asked.jsonl"):
        (tmp_path / name).symlink_to(home / name)
    stories = []
    for name, executor in (("here", "local"), ("there", "ray")):
        ask(capsys, *words, "-o", "best.yml", "--log", f"{name}.jsonl", "--executor", executor)
        lines = [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
        for line in lines:
            line.get("trial", {}).pop("seconds", None)
        stories.append((lines, (tmp_path / "best.yml").read_text()))
    assert stories[0] == stories[1]
    read = {line["trial"]["measured"]["passages"] for line in stories[0][0] if "trial" in line}
    assert len(read - {0}) > 1  # some were stopped early


@pytest.mark.usefixtures("workers")
def test_probe(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The map of a donor's edits is that of one process, with hops and damped copies."""
    words = ("probe", "a", *TEXT, "--runs", "2", "--window", "16", "--passages", "8", "--hop", "0.9", "--damp", "0.5")
    here, there = ask_both(capsys, monkeypatch, tmp_path, *words)
    assert there == here
    assert here["map"]


class killing:  # noqa: N801 - reads as a statement
    """Kills one worker as soon as it runs a task of this name; the `with` block's value is filled then."""

    def __init__(self, function: str) -> None:
        self.function, self.killed, self.over = function, list[bool](), threading.Event()
        self.thread = threading.Thread(target=self._kill, daemon=True)

    def _kill(self) -> None:
        while not self.over.is_set() and not self.killed:
            if kill_worker(self.function):
                self.killed.append(True)
            time.sleep(0.01)

    def __enter__(self) -> list[bool]:
        self.thread.start()
        return self.killed

    def __exit__(self, *_error: object) -> None:
        self.over.set()
        self.thread.join()


def test_an_unknown_executor_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The name of an executor that does not exist is an error of usage, with the nearest one."""
    code, _, err = run(capsys, "eval", "a", *SMALL, "--executor", "rai")
    assert code == 2
    assert "there is no executor 'rai'" in err


@needs_ray
@pytest.mark.slow
def test_too_many_threads_are_refused(capsys: pytest.CaptureFixture[str], cluster: Any) -> None:
    """If this process has more threads than any node has CPUs, the command says so."""
    del cluster
    torch.set_num_threads(64)
    try:
        code, _, err = run(capsys, "eval", "a", *SMALL, "--executor", "ray")
    finally:
        torch.set_num_threads(1)
    assert code == 2
    assert "no node of the cluster has what a stack needs: 64 CPU" in err
