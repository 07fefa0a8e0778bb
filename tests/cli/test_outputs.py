"""Outputs that would replace what a command reads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.commands import run
from tests.view.scenes import GOLIATH

COMMANDS = (
    ("preview", "s.yml", "--svg"),
    ("preview", "s.yml", "--html"),
    ("convert", "s.yml", "-o"),
    ("sweep", "s.yml", "--text", "t.txt", "-o"),
    ("sweep", "s.yml", "--text", "t.txt", "--svg"),
    ("sweep", "s.yml", "--text", "t.txt", "--html"),
    ("probe", "s.yml", "--text", "t.txt", "--runs", "2", "--svg"),
    ("probe", "s.yml", "--text", "t.txt", "--runs", "2", "--html"),
    ("eval", "s.yml", "--text", "t.txt", "--svg"),
    ("compare", "s.yml", "s.yml", "--text", "t.txt", "--html"),
    ("search", "s.yml", "--text", "t.txt", "-o"),
    ("search", "s.yml", "--text", "t.txt", "-o", "best.yml", "--log"),
    ("search", "s.yml", "--text", "t.txt", "-o", "best.yml", "--svg"),
    ("search", "s.yml", "--text", "t.txt", "-o", "best.yml", "--html"),
)
NAMES = {"./s.yml": "s.yml", "link": "s.yml", "other": "t.txt"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a spec, a text, and other names of both."""
    (tmp_path / "s.yml").write_text(GOLIATH)
    (tmp_path / "t.txt").write_text("a text")
    (tmp_path / "link").symlink_to("s.yml")
    os.link(tmp_path / "t.txt", tmp_path / "other")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "path", "source"),
    [(words, path, source) for words in COMMANDS for path, source in NAMES.items() if source in words],
)
def test_no_output_replaces_an_input(
    words: tuple[str, ...], path: str, source: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Specs and texts stay as they are, also under another name or through a link."""
    code, _, err = run(capsys, *words, path)
    assert code == 2
    assert f"would replace {source}" in " ".join(err.split())
    assert ((home / "s.yml").read_text(), (home / "t.txt").read_text()) == (GOLIATH, "a text")


def test_the_log_that_is_shown_stays(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`search show` does not write its drawing over the log."""
    code, _, err = run(capsys, "search", "show", "t.txt", "--svg", "t.txt")
    assert (code, "would replace t.txt" in err) == (2, True)
    assert (home / "t.txt").read_text() == "a text"


def test_two_outputs_are_two_files(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One path for two outputs is refused; standard output is no file."""
    code, _, err = run(capsys, "preview", "s.yml", "--svg", "new", "--html", "./new")
    assert (code, "are the same file" in err) == (2, True)
    assert not (home / "new").exists()
    assert run(capsys, "preview", "s.yml", "--svg", "-", "--html", "new")[0] == 0
