"""`stacker sweep` that is killed, runs out of memory or computes nonsense: what it keeps, and what it says."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch

from stacker.live import tokenizer
from stacker.live.live_stack import LiveStack
from stacker.measure import candidates, text_scores
from tests.cli.commands import run
from tests.measure.donors_with_words import make_text, write_worded

SPEC = """\
stacker: 1
name: damped
parameters: {f: {value: 0.5, range: [0, 1]}, broken: 0}
donors: {a: ./a}
stack: ["a[0:3]", {slice: "a[2]", scale: {attn.o: "${f}"}}, "a[${3+broken}:6]"]
"""
TEXT = ("--text", "text.txt", "--passage", "40", "--window", "32")
KILLED = """\
import os, signal, sys
from stacker.cli import main
from stacker.{module} import {owner}
calls, known = [], {owner}.{method}
def die(*words):
    known(*words)
    calls.append(words)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
{owner}.{method} = die

main(sys.argv[1:])
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a donor, a spec with parameters, a text and questions; the cache is empty."""
    write_worded(tmp_path, "a")
    (tmp_path / "spec.yml").write_text(SPEC)
    (tmp_path / "text.txt").write_text(make_text(400))
    rows = [{"prompt": f"w{n} w{n + 1}", "choices": [f" w{n + 2}", f" w{n}"], "answer": n % 2} for n in range(18)]
    (tmp_path / "asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sweep(capsys: pytest.CaptureFixture[str], *words: str, text: tuple[str, ...] = TEXT) -> dict[str, Any]:
    """What `sweep --json` says."""
    code, out, err = run(capsys, "sweep", "spec.yml", *text, *words, "--json")
    assert code == 0, out + err
    found: dict[str, Any] = json.loads(out)
    return found


def count_loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the stacks that are loaded from now on."""
    names: list[str] = []
    known = candidates.Opening.load

    def load(opening: candidates.Opening) -> LiveStack:
        names.append(str(opening.stack.spec.parameters[0].value))
        return known(opening)

    monkeypatch.setattr(candidates.Opening, "load", load)
    return names


@pytest.mark.parametrize(
    ("more", "names"),
    [
        pytest.param(
            ("--log", "log.jsonl", "--no-cache"),
            {"module": "search.sweeps.sweep_log", "owner": "SweepLog", "method": "add"},
            id="log",
        ),
        pytest.param((), {"module": "measure.score_cache", "owner": "ScoreCache", "method": "write"}, id="cache"),
    ],
)
def test_a_killed_sweep_goes_on(
    more: tuple[str, ...],
    names: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was measured before the process was killed is not measured again, and the result is the same."""
    words = ("-p", "f=0:1:0.25", *more)
    command = [sys.executable, "-c", KILLED.format(**names), "sweep", "spec.yml", *TEXT, *words]
    assert subprocess.run(command, capture_output=True, check=False).returncode == -9
    loads = count_loads(monkeypatch)
    found = sweep(capsys, *words)
    assert found["cached"] >= 3
    assert not {"0.0", "0.25"} & {*loads[:-1]}  # the last may be the best, which is loaded for what was kept apart
    whole = sweep(capsys, "-p", "f=0:1:0.25", "--no-cache")
    assert [each["figures"] for each in found["trials"]] == [each["figures"] for each in whole["trials"]]
    assert found["final"] == whole["final"]


def test_a_log_keeps_failures_and_is_of_one_sweep(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log has a line for each stack, also for those that cannot run; other texts are refused."""
    words = ("-p", "f=0,1", "--log", "log.jsonl", "--no-cache")
    fail_at(monkeypatch, 2, torch.OutOfMemoryError("CUDA out of memory\nmore"))
    first = sweep(capsys, *words)
    assert first["trials"][0]["failure"] == "cannot run: CUDA out of memory"
    assert first["best"] == 1
    lines = [json.loads(line) for line in (home / "log.jsonl").read_text().splitlines()]
    assert [line["measured"]["point"] for line in lines[1:]] == [{}, {"f": 0.0}, {"f": 1.0}]
    assert sweep(capsys, *words)["trials"] == first["trials"]
    assert len((home / "log.jsonl").read_text().splitlines()) == len(lines)
    (home / "text.txt").write_text(make_text(400, seed=1))
    code, _, error = run(capsys, "sweep", "spec.yml", *TEXT, *words)
    assert code == 2
    assert "the log is of a sweep with another texts" in error


@pytest.mark.parametrize("line", ['{"measured": {}}', '{"measured": {"stack": "x", "samples": {"y": {}}}}', "[]", "{"])
def test_a_damaged_log_is_refused(home: Path, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A line that says something else is an error with the file's name."""
    sweep(capsys, "-p", "f=0", "--log", "log.jsonl")
    with (home / "log.jsonl").open("a") as file:
        file.write(line + "\n")
    code, _, error = run(capsys, "sweep", "spec.yml", *TEXT, "-p", "f=0", "--log", "log.jsonl")
    assert code == 2
    assert "log.jsonl" in error


def fail_at(monkeypatch: pytest.MonkeyPatch, wanted: int, error: BaseException) -> None:
    """Let the stack that is scored as number `wanted` raise an error."""
    calls: list[object] = []
    known = text_scores.score_alone

    def score(*words: Any) -> Any:
        calls.append(words)
        if len(calls) == wanted:
            raise error
        return known(*words)

    monkeypatch.setattr("stacker.search.sweeps.sweeping.score_alone", score)


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes cannot be multiplied"), MemoryError(), torch.OutOfMemoryError("out of memory")]
)
def test_a_candidate_that_cannot_run_is_a_result(
    error: BaseException, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors of torch end one point and not the sweep."""
    fail_at(monkeypatch, 2, error)
    found = sweep(capsys, "-p", "f=0,1")
    assert found["trials"][0]["failure"] == f"cannot run: {str(error) or 'MemoryError'}"
    assert found["trials"][1]["figures"]


def test_own_values_that_cannot_run_are_an_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the spec's own values, there is nothing to compare with."""
    fail_at(monkeypatch, 1, RuntimeError("does not fit"))
    code, _, error = run(capsys, "sweep", "spec.yml", *TEXT, "-p", "f=0,1")
    assert code == 2
    assert "own values cannot be measured: cannot run: does not fit" in error


def test_a_best_point_that_fails_at_the_end_is_not_confirmed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the best cannot be measured on what was kept apart, the verdict says why."""
    fail_at(monkeypatch, 5, RuntimeError("no memory"))  # own, two points, own on the final part, the best there
    found = sweep(capsys, "-p", "f=0,1")
    assert found["verdict"] == "not confirmed: cannot run: no memory"


def test_losses_that_are_not_finite_are_failures(capsys: pytest.CaptureFixture[str]) -> None:
    """A factor that overflows makes a failed point, not an infinite loss."""
    Path("spec.yml").write_text(SPEC.replace(", range: [0, 1]", ""))
    found = sweep(capsys, "-p", "f=1,1e45,0.25")
    assert "no finite probabilities" in found["trials"][1]["failure"]
    assert [trial.get("failure") for trial in (found["trials"][0], found["trials"][2])] == [None, None]


def test_questions_decide_and_the_tokenizer_is_loaded_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without texts, the loss of the right answers decides; it is what `eval` says about the same values."""
    loads: list[object] = []
    known = tokenizer.load_tokenizer

    def load(*words: Any) -> Any:
        loads.append(words)
        return known(*words)

    monkeypatch.setattr(candidates, "load_tokenizer", load)
    asked = ("--questions", "asked.jsonl")
    found = sweep(capsys, "-p", "f=0,0.25,1", text=asked)
    assert len(loads) == 1
    assert found["measure"] == "answer_loss"
    assert (found["items"], found["kept_apart"]) == (12, 6)
    both = sweep(capsys, "-p", "f=0,0.25,1", text=(*asked, *TEXT))
    assert both["measure"] == "loss"
    assert [set(trial["figures"]) for trial in both["trials"]] == [{"loss", "answer_loss", "accuracy"}] * 3
    rows = Path("asked.jsonl").read_text().splitlines(keepends=True)
    Path("asked.jsonl").write_text("".join(row for at, row in enumerate(rows) if at % 3 != 2))
    _, out, _ = run(capsys, "eval", "spec.yml", "-p", "f=0.25", *asked, "--json")
    figures = {each["measure"]: each["value"] for each in json.loads(out)["columns"][0]["figures"]}
    assert figures["answer_loss"] == pytest.approx(found["trials"][1]["figures"]["answer_loss"], rel=1e-6)
    assert figures["accuracy"] == found["trials"][1]["figures"]["accuracy"]


def test_points_are_let_go_of(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights that a point has for itself are freed before the next is loaded, without Python's collector."""
    kept: list[weakref.ref[Any]] = []
    known = LiveStack.rearranged

    def rearranged(first: LiveStack, spec: Any) -> LiveStack:
        assert [each() for each in kept] == [None] * len(kept)
        live = known(first, spec)
        kept.append(weakref.ref(live.model.model.layers[3].self_attn.o_proj.weight))
        return live

    monkeypatch.setattr(LiveStack, "rearranged", rearranged)
    gc.disable()
    try:
        sweep(capsys, "-p", "f=0,0.25,0.75,0.9", "--no-cache")
    finally:
        gc.enable()
    assert len(kept) >= 4
