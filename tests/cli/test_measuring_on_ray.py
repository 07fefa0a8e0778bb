"""eval, probe, sweep and search on a Ray cluster of three node processes: the same figures, whatever is killed."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.cli.commands import run
from tests.measure.donors_with_words import make_text, write_worded
from tests.ray_cluster import kill_worker, run_cluster

pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

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
QUESTIONS = [{"prompt": f"w{at} w3", "choices": ["w1", "w2 w5"], "answer": at % 2} for at in range(12)]


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


@pytest.fixture(autouse=True)
def _at_home(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder, and an empty cache."""
    monkeypatch.chdir(home)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def ask(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """What a command says with --json; it must end well."""
    code, out, err = run(capsys, *words, "--json")
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def ask_both(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *words: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a command says in one process, and on the cluster with a cache of its own."""
    here = ask(capsys, *words)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    return here, ask(capsys, *words, "--executor", "ray")


@pytest.mark.parametrize("more", [("--no-cache",), ()], ids=["without-cache", "with-cache"])
def test_eval(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cluster: Any, more: tuple[str]
) -> None:
    """All figures of eval are those of one process to the last digit, and the cache of this machine has them."""
    words = ("eval", "a", "blend.yml", "b", "blend.yml", *SMALL, "--questions", "asked.jsonl", "--generate", "1", *more)
    here, there = ask_both(capsys, monkeypatch, tmp_path, *words)
    del cluster
    assert there == here
    if not more:
        assert ask(capsys, *words)["cached"] == 12


def test_sweep(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cluster: Any
) -> None:
    """A sweep is that of one process while a worker is killed: also its log, its failed points and its judgement."""
    del cluster
    words = ("sweep", "blend.yml", *SMALL, "--questions", "asked.jsonl", "-p", "t=0:1:0.25", "-p", "broken=0,9")
    here = ask(capsys, *words, "--log", str(tmp_path / "here.jsonl"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    with killing("_measure") as killed:
        there = ask(capsys, *words, "--log", str(tmp_path / "there.jsonl"), "--executor", "ray")
    assert killed
    assert there == here
    assert (tmp_path / "there.jsonl").read_text() == (tmp_path / "here.jsonl").read_text()
    assert {bool(trial.get("failure")) for trial in here["trials"]} == {True, False}


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


def test_what_cannot_be_measured_says_why(capsys: pytest.CaptureFixture[str], cluster: Any) -> None:
    """An unknown executor, and more threads than any node has CPUs, are errors of usage."""
    del cluster
    code, _, err = run(capsys, "eval", "a", *SMALL, "--executor", "rai")
    assert code == 2
    assert "there is no executor 'rai'" in err
    torch.set_num_threads(64)
    try:
        code, _, err = run(capsys, "eval", "a", *SMALL, "--executor", "ray")
    finally:
        torch.set_num_threads(1)
    assert code == 2
    assert "no node of the cluster has what a stack needs: 64 CPU" in err
    assert os.environ["RAY_ADDRESS"]
