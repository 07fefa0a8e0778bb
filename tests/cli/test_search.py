"""The command search: parameters and orders of tiny donors, logs that go on, and what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import stacker
from stacker.search.log import KIND
from tests.cli.commands import run
from tests.measure.donors_with_words import make_text, write_worded

BLEND = """stacker: 1
name: mix
donors: {a: ./a, b: ./b, base: ./base}
base: base
parameters:
  t: {value: 0.5, range: [0.0, 1.0]}  # how much of what both changed
stack:
  - blend: [a, b]
    op: task_arithmetic
    weight: ${t}
"""
PLAIN = "stacker: 1\nname: plain\ndonors: {a: ./a, b: ./b}\nstack: [a]\n"
Capsys = pytest.CaptureFixture[str]
TWO = "[{slice: a, weight: '${t}'}, {slice: b, weight: '${s}'}]"
OPTIONS = ("--text", "one.txt", "--text", "two.txt", "--passages", "8", "--window", "12")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three donors of four layers, two texts and the specs."""
    folder = write_worded(tmp_path_factory.mktemp("search"), "a", "b", "base", layers=4)
    for seed, name in enumerate(("one", "two")):
        (folder / f"{name}.txt").write_text(make_text(800, seed))
    (folder / "blend.yml").write_text(BLEND)
    (folder / "plain.yml").write_text(PLAIN)
    return folder


@pytest.fixture
def here(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder is that of the donors."""
    monkeypatch.chdir(home)
    return home


def search(capsys: Capsys, *words: str) -> dict[str, Any]:
    """The JSON of a search that succeeds."""
    status, printed, errors = run(capsys, "search", *words, "--json")
    assert status == 0, errors
    found: dict[str, Any] = json.loads(printed)
    return found


def without_seconds(path: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        line.get("trial", {}).pop("seconds", None)
    return lines


@pytest.mark.slow
def test_parameters_are_searched(here: Path, capsys: Capsys) -> None:
    """The winner is the spec with other values; it is compared with donors, blends and the start on the final part."""
    found = search(capsys, "blend.yml", *OPTIONS, "--candidates", "16", "-o", "best.yml", "--log", "parameters.jsonl")
    text = (here / "best.yml").read_text()
    assert "# how much of what both changed" in text
    names = [each["name"] for each in found["report"]["comparisons"]]
    assert names[:5] == ["a", "b", "linear 0.5", "slerp 0.5", "ram"]
    assert found["report"]["tried"] == len(found["trials"]) <= 16
    assert run(capsys, "check", "best.yml")[0] == 0
    assert {each["verdict"] for each in found["report"]["comparisons"]} <= {"better", "worse", "no difference"}


@pytest.mark.slow
def test_a_log_that_was_cut_goes_on(here: Path, capsys: Capsys) -> None:
    """A log that ends after any line is continued to the same log, but for the times; the winner is the same."""
    words = ("plain.yml", *OPTIONS, "--arrange", "--candidates", "30", "-o", "order.yml", "--log", "order.jsonl")
    search(capsys, *words)
    whole, winner = without_seconds(here / "order.jsonl"), (here / "order.yml").read_bytes()
    lines = (here / "order.jsonl").read_bytes().splitlines(keepends=True)
    (here / "order.jsonl").write_bytes(b"".join(lines[:12]) + lines[12][:20])
    search(capsys, *words)
    assert without_seconds(here / "order.jsonl") == whole
    assert (here / "order.yml").read_bytes() == winner


@pytest.mark.slow
@pytest.mark.parametrize("lines", [2, 9])
def test_a_killed_search_goes_on(here: Path, capsys: Capsys, lines: int) -> None:
    """The log of a search that runs is shown; killed and started again, the search ends as undisturbed."""
    words = ("plain.yml", *OPTIONS, "--arrange", "--candidates", "24", "-o", "killed.yml")
    search(capsys, *words, "--log", "undisturbed.jsonl")
    whole, log = without_seconds(here / "undisturbed.jsonl"), here / f"killed{lines}.jsonl"
    command = [sys.executable, "-m", "stacker", "search", *words, "--log", log.name]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and (not log.exists() or log.read_bytes().count(b"\n") < lines):
        time.sleep(0.01)
    running = search(capsys, "show", log.name)
    process.kill()
    process.wait()
    assert running["report"] is None
    assert len(running["trials"]) >= lines - 1
    assert log.read_bytes().count(b"\n") < len(whole)
    search(capsys, *words, "--log", log.name)
    assert without_seconds(log) == whole


def test_texts_are_read_with_the_tokenizer_of_the_start(home: Path, here: Path, capsys: Capsys) -> None:
    """The first donor, whose weights others share, may have no tokenizer: the spec names whose it is."""
    shutil.copytree(home / "a", home / "bare", ignore=shutil.ignore_patterns("token*"), dirs_exist_ok=True)
    text = BLEND.replace("a: ./a", "a: ./bare").replace("base: base\n", "base: base\ntokenizer: b\n")
    (here / "bare.yml").write_text(text)
    found = search(capsys, "bare.yml", *OPTIONS, "--candidates", "3", "-o", "found.yml")
    assert found["report"]["failed"] == 0


@pytest.mark.slow
def test_both_in_turn(here: Path, capsys: Capsys) -> None:
    """Parameters come first; the order search has their winner, as a spec of its own, among its donors."""
    words = ("blend.yml", *OPTIONS, "--arrange", "--spread", "2", "--candidates", "40", "--objective", "loss,size")
    found = search(capsys, *words, "-o", "both.yml", "--log", "both.jsonl")
    assert [*dict.fromkeys(trial["phase"] for trial in found["trials"])] == ["scan", "cma", "evolution"]
    assert "t__attn1" in (here / "both-parameters.yml").read_text()
    orders = [trial["proposal"]["point"] for trial in found["trials"] if trial["phase"] == "evolution"]
    assert found["trials"][0]["measured"]["values"][0] == 0  # the spec itself, also for orders
    assert {layers[0] for point in orders for layers in point} >= {"start", "a"}
    assert found["front"]
    for name in ("both", *(f"both-{number}" for number in found["front"])):
        assert run(capsys, "check", f"{name}.yml")[0] == 0


@pytest.mark.slow
def test_a_log_is_shown(here: Path, capsys: Capsys) -> None:
    """`search show` draws the curve, the best candidates, the finalists and the comparison, also as SVG and a page."""
    search(capsys, "plain.yml", *OPTIONS, "--arrange", "--candidates", "20", "-o", "shown.yml", "--log", "shown.jsonl")
    status, shown, _ = run(capsys, "search", "show", "shown.jsonl", "--svg", "shown.svg", "--html", "shown.html")
    assert status == 0
    for words in ("candidates in", "The best candidates", "Finalists", "linear 0.5", "candidates were measured"):
        assert words in shown, words
    assert "<circle" in (here / "shown.svg").read_text()
    assert "<table>" in (here / "shown.html").read_text()
    half = (here / "shown.jsonl").read_bytes().splitlines(keepends=True)[:6]
    (here / "half.jsonl").write_bytes(b"".join(half))
    assert search(capsys, "show", "half.jsonl")["report"] is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("blend.yml",), "no text to predict"),
        (("blend.yml", "--text", "one.txt"), "no file for the winner"),
        (("a", "--text", "one.txt", "-o", "x.yml"), "a: error: this is a folder"),
        (("plain.yml", *OPTIONS, "-o", "x.yml"), "no parameter has a range"),
        (("plain.yml", *OPTIONS, "--arrange", "-o", "x.yml", "--max-layers", "3"), "4 layers, more than 3"),
        (("plain.yml", *OPTIONS, "--arrange", "-o", "x.yml", "--max-params", "1K"), "more than 1,000"),
        (("plain.yml", *OPTIONS, "--arrange", "-o", "x.yml", "--licence", "mit"), "donor 'a' states no licence"),
        (("blend.yml", *OPTIONS, "-o", "x.yml", "--budget", "soon"), "--budget: 'soon' is not a time"),
        (("blend.yml", *OPTIONS, "-o", "x.yml", "--max-params", "many"), "--max-params: 'many' is not a number"),
        (("blend.yml", *OPTIONS, "-o", "x.yml", "--objective", "beauty"), "no objective 'beauty'"),
        (("blend.yml", *OPTIONS, "-o", "x.yml", "--strategy", "luck"), "no strategy 'luck'"),
        (("blend.yml", *OPTIONS, "-o", "x.yml", "--strategy", "evolution"), "evolution cannot search"),
        (("plain.yml", *OPTIONS, "--arrange", "--spread", "3", "-o", "x.yml"), "no parameter can be spread"),
        (("plain.yml", *OPTIONS, "--arrange", "-o", "plain.yml"), "would replace plain.yml"),
        (("show",), "no log to show"),
        (("show", "one.txt"), "not JSON"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_cannot_be_searched_is_refused(here: Path, capsys: Capsys, words: tuple[str, ...], message: str) -> None:
    """Requests that cannot be met are errors before anything is tried; no winner is written."""
    status, _, errors = run(capsys, "search", *words)
    assert status == 2
    assert message in errors
    assert not (here / "x.yml").exists()


@pytest.mark.usefixtures("here")
def test_all_that_is_wrong_is_told_at_once(capsys: Capsys) -> None:
    """One answer names every slip of the options, the spec, the texts and the questions, with what to do."""
    words = ("-p", "u=1", "-p", "t=2", "-p", "t", "--budget", "soon", "--max-params", "many", "--dtype", "float31")
    more = ("--strategy", "luck,cma,cma", "--objective", "beauty,questions", "--text", "none.txt", "--svg", "no/x.svg")
    status, _, errors = run(capsys, "search", "blend.yml", *words, *more, "--text", "lost.txt")
    said = " ".join(errors.split())
    assert status == 2
    for message in (
        "no parameter 'u'",
        "parameter 't' is 2.0, outside its range",
        "'t' is not NAME=VALUE",
        "--budget: 'soon' is not a time",
        "--max-params: 'many' is not a number",
        "'float31' is not an element type",
        "no strategy 'luck'",
        "strategy cma is named twice",
        "no objective 'beauty'",
        "no questions for the objective 'questions'",
        "none.txt: error: cannot be read",
        "lost.txt: error: cannot be read",
        "no/x.svg: error: cannot write",
        "no file for the winner",
    ):
        assert message in said, message


@pytest.mark.slow
def test_parameters_are_fixed_and_moved_from_outside(here: Path, capsys: Capsys) -> None:
    """`-p` keeps one parameter at a value and moves another in a range, which the winner's spec keeps to."""
    (here / "two.yml").write_text(BLEND.replace("[0.0, 1.0]}", "[0.0, 1.0]}\n  s: 0.25").replace("[a, b]", TWO))
    words = ("-p", "t=0.125", "-p", "s=0.5:0.75", "--candidates", "12")
    found = search(capsys, "two.yml", *OPTIONS, *words, "-o", "moved.yml", "--log", "moved.jsonl")
    points = [trial["proposal"]["point"] for trial in found["trials"]]
    assert all([*point] == ["s"] and 0.5 <= point["s"] <= 0.75 for point in points)
    assert points[0] == {"s": 0.5}
    winner = stacker.load(here / "moved.yml")
    values = {each.name: each.value for each in winner.spec.parameters}
    assert values["t"] == 0.125
    assert 0.5 <= float(values["s"]) <= 0.75
    plans = {line.get("losses", {}).get("plan") for line in without_seconds(here / "moved.jsonl")}
    assert winner.plan().id in plans


@pytest.mark.parametrize("option", ["-o", "--log", "--svg", "--html"])
def test_files_without_a_folder_are_refused_at_once(here: Path, capsys: Capsys, option: str) -> None:
    """A file in a folder that does not exist is an error before anything is searched."""
    words = ["plain.yml", *OPTIONS, "--arrange", "-o", "x.yml", option, "nowhere/file.yml"]
    status, _, errors = run(capsys, "search", *words)
    assert status == 5
    assert "nowhere/file.yml" in errors.replace("\n", "")
    assert not (here / "x.yml").exists()


DAMAGES: list[tuple[str, Any]] = [
    ("values", {}), ("values", []), ("values", [1e308]), ("error", "x"), ("passages", None), ("plan", [1]), ("how", 5)
]  # fmt: skip


def _damage_trial(part: str, value: object) -> dict[str, Any]:
    """A trial, as a log has it, one part of which is something else."""
    measured: dict[str, Any] = {
        "values": [0.1],
        "error": 0.01,
        "first": 0.1,
        "passages": 4,
        "layers": 3,
        "plan": "x",
        "problem": "",
    }
    made: dict[str, Any] = {"point": {"t": 0.5}, "how": "start", "parents": []}
    for each in (measured, made):
        each.update({part: value} if part in each else {})
    trial = {"number": 0, "phase": "cma", "generation": 0, "proposal": made, "measured": measured, "seconds": 1.0}
    return {"trial": trial}


def test_a_damaged_line_of_a_log_is_named(tmp_path: Path, capsys: Capsys) -> None:
    """The message has the number of the line and says what it is not."""
    for line, what in (
        ({"trial": 3}, "a trial"),
        ({"trial": {"proposal": {}}}, "a trial"),
        ({"losses": []}, "the losses"),
        ({"another": 1}, "the losses"),
        *((_damage_trial(part, value), "a trial") for part, value in DAMAGES),
    ):
        (tmp_path / "log.jsonl").write_text(f"{json.dumps({KIND.name: KIND.version})}\n{json.dumps(line)}\n")
        code, _, err = run(capsys, "search", "show", str(tmp_path / "log.jsonl"))
        assert code == 2
        assert "log.jsonl:2" in err.replace("\n", "")
        assert f"this line is not {what}" in " ".join(err.split())
