"""`stacker sweep`: many values of parameters, compared with what `eval` says about the same specs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.cli.commands import run
from tests.measure.donors_with_words import make_text, write_worded

SPEC = """\
stacker: 1
name: damped
parameters:
  at: {value: 3, range: [1, 5], step: 2}  # where
  f: {value: 0.5, range: [0, 1]}
  broken: 0
donors: {a: ./a}
stack:
  - a[0:${at}]
  - slice: a[${at-1}]
    scale: {attn.o: "${f}", mlp.down: "${f}"}
  - a[${at+broken}:6]
"""
TEXT = ("--text", "text.txt", "--passage", "40", "--window", "32")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a donor, a spec with parameters and a text; the cache is empty."""
    write_worded(tmp_path, "a")
    (tmp_path / "spec.yml").write_text(SPEC)
    (tmp_path / "text.txt").write_text(make_text(400))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sweep(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """What `sweep --json` says."""
    code, out, err = run(capsys, "sweep", "spec.yml", *TEXT, *words, "--json")
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def test_points_are_what_eval_measures(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The losses are those that `eval` gives for the same values, and the best spec is written with its comments."""
    text = ("--text", "text.txt", "--passage", "200", "--window", "32", "--json")
    _, out, _ = run(capsys, "sweep", "spec.yml", *text, "-p", "f=0,1", "-p", "at", "-o", "best.yml")
    found = json.loads(out)
    assert found["kept_apart"] == 0
    points = [trial["point"] for trial in found["trials"]]
    assert points == [{"f": f, "at": at} for f in (0.0, 1.0) for at in (1, 3, 5)]
    losses = [trial["figures"]["loss"] for trial in found["trials"]]
    assert found["best"] == losses.index(min(losses))
    best = points[found["best"]]
    values = [word for name, value in best.items() for word in ("-p", f"{name}={value}")]
    _, out, _ = run(capsys, "eval", "spec.yml", *values, *text)
    (figure,) = (each for each in json.loads(out)["columns"][0]["figures"] if each["measure"] == "loss")
    assert figure["value"] == pytest.approx(min(losses), rel=1e-6)
    written = (home / "best.yml").read_text()
    assert written == SPEC.replace("value: 3", f"value: {best['at']}").replace("value: 0.5", f"value: {best['f']}")


def test_the_best_is_judged_on_what_was_kept_apart(capsys: pytest.CaptureFixture[str]) -> None:
    """A third of the passages decides nothing; the difference of the best there is given with an interval."""
    found = sweep(capsys, "-p", "f=0,1")
    assert 2 * found["kept_apart"] in range(found["items"] - 2, found["items"] + 3)
    assert found["final"]["items"] == found["kept_apart"]
    assert found["final"]["low"] <= found["final"]["value"] <= found["final"]["high"]
    assert found["chance"]["tries"] == 2


def test_failures_are_results_and_scores_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    """A point that cannot be built says why and the sweep goes on; the second time, everything comes from the cache."""
    first = sweep(capsys, "-p", "broken=0,9")
    assert "runs backwards" in first["trials"][1]["failure"]
    assert first["trials"][0]["figures"]
    again = sweep(capsys, "-p", "broken=0,9")
    assert first["cached"] < again["cached"]
    assert again["trials"] == first["trials"]
    code, out, _ = run(capsys, "sweep", "spec.yml", *TEXT, "-p", "broken=8,9")
    assert code == 2
    assert "failed" in out


def test_the_own_values_are_the_best(capsys: pytest.CaptureFixture[str]) -> None:
    """If the spec's own values are the best point, nothing is called better, and the difference is 0."""
    found = sweep(capsys, "-p", "f=0.5")
    assert found["verdict"] == "the spec's own values are the best"
    assert found["trials"][0]["difference"]["value"] == 0
    assert found["chance"] is None


def test_views(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two parameters make a heat map, one a curve; both as text, SVG and a page, also in a narrow terminal."""
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", "1")
    files = ("--svg", "s.svg", "--html", "s.html")
    for words, part in ((("-p", "f=0,1", "-p", "at"), "f down, at across"), (("-p", "f=0,1"), "◆")):
        code, out, _ = run(capsys, "sweep", "spec.yml", *TEXT, *words, *files)
        assert code == 0
        assert part in out
        assert "kept apart" in out
        assert max(map(len, out.splitlines())) <= 60
        assert "\x1b" not in out
        texts = ["".join(each.itertext()) for each in ET.parse(home / "s.svg").getroot().iter()]
        assert any("f=1.0" in text for text in texts)
        assert "f=1.0" in (home / "s.html").read_text()


def test_random_points(capsys: pytest.CaptureFixture[str]) -> None:
    """A few points of the grid, the same for the same seed."""
    points = [sweep(capsys, "--random", "2", "--seed", "5")["trials"] for _ in range(2)]
    assert len(points[0]) == 2
    assert points[0] == points[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-p", "f=0,2"), "outside its range"),
        (("-p", "g"), "no parameter 'g' to sweep"),
        (("-p", "f=0", "-o", "elsewhere/best.yml"), "write the spec there"),
    ],
)
def test_wrong_words(words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be swept or written is said before anything is measured."""
    code, _, error = run(capsys, "sweep", "spec.yml", *TEXT, *words)
    assert code == 2
    assert message in error


def test_all_that_is_wrong_is_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """One answer names every slip of the options, the parameters, the texts and the files."""
    words = ("-p", "f=2", "-p", "nothing=1", "--text", "none.txt", "--max-memory", "much", "--svg", "no/x.svg")
    code, _, error = run(capsys, "sweep", "spec.yml", *words, "--questions", "lost.jsonl")
    assert code == 2
    said = " ".join(error.split())
    for message in (
        "'f'",
        "no parameter 'nothing'",
        "none.txt",
        "'much'",
        "no/x.svg: error: cannot write",
        "lost.jsonl",
    ):
        assert message in said, message
