"""The option -v, which every command has."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from stacker.cli import app, command_name
from tests.cli.commands import run
from tests.donors import write_llama

COMMANDS = [command_name(command) for command in app.registered_commands]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a donor and a spec."""
    write_llama(tmp_path / "donor", layers=6)
    (tmp_path / "spec.yml").write_text("stacker: 1\ndonors: {a: ./donor}\nstack: [a]\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_it(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The help lists it with its short form, and the other options are still there."""
    _, out, _ = run(capsys, name, "--help")
    assert "--verbose" in out
    assert "-v" in out


def test_it_tells_what_a_build_does(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the donor is, the plan, the threads, and the costs, each with the seconds since the beginning."""
    code, _, err = run(capsys, "build", "spec.yml", "out", "-v", "-j", "1")
    assert code == 0
    lines = [line for line in err.splitlines() if line.startswith("[")]
    assert f"donor 'a': ./donor in {home}/donor: llama, 6 layers, 1 file of weights" in lines[0]
    assert any("with 1 threads" in line for line in lines)
    assert "s of the processor" in lines[-1]


@pytest.mark.parametrize(
    "words", [("-v", "check", "spec.yml"), ("check", "--verbose", "spec.yml"), ("check", "spec.yml", "-v", "--json")]
)
def test_it_stands_anywhere(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """Before and after the command; standard output stays as it is."""
    plain = run(capsys, *(word for word in words if word not in ("-v", "--verbose")))
    code, out, err = run(capsys, *words)
    assert (code, out) == plain[:2]
    assert "donor 'a'" in err
    assert "donor 'a'" not in plain[2]


def test_it_ends_with_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    """After an error, too, nothing more is printed, and the log is as it was."""
    code, _, err = run(capsys, "check", "none.yml", "-v")
    assert (code, "of the processor" in err) == (2, True)
    assert logging.getLogger("stacker").handlers == []
    assert "donor" not in run(capsys, "check", "spec.yml")[2]


def test_names_cannot_steer_the_terminal(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Control characters in the name of a folder are shown as escapes."""
    odd = home.rename(home.with_name("fol\x1b[31mder"))
    monkeypatch.chdir(odd)
    _, _, err = run(capsys, "check", "spec.yml", "-v")
    assert "\x1b" not in err
    assert "fol\\x1b[31mder" in err
