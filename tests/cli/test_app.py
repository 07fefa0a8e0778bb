"""Options and commands of the program as a whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stacker.version import VERSION
from tests.cli.commands import run
from tests.donors import write_llama


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The long and the short option print the version."""
    assert run(capsys, option)[1] == f"stacker {VERSION}\n"


def test_help_is_a_command_too(capsys: pytest.CaptureFixture[str]) -> None:
    """`stacker help` is `--help`, and `stacker help build` is `build --help`."""
    assert "preview" in run(capsys, "help")[1]
    code, out, _ = run(capsys, "help", "build")
    assert code == 0
    assert "--shard-size" in out
    code, _, err = run(capsys, "help", "biuld")
    assert (code, "did you mean 'build'?" in err) == (2, True)


@pytest.mark.parametrize(("colour", "coloured"), [("always", True), ("never", False), ("auto", False)])
def test_colours_can_be_chosen(colour: str, coloured: bool, tmp_path: Path) -> None:
    """In a pipe, colours are off unless they are asked for."""
    write_llama(tmp_path / "a")
    (tmp_path / "spec.yml").write_text("stacker: 1\ndonors: {a: ./a}\nstack: [a]\n")
    env = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    command = [sys.executable, "-m", "stacker", "--color", colour, "preview", "spec.yml"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, check=True)
    assert (b"\x1b[" in done.stdout) == coloured


def test_convert_writes_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`convert -o` writes the file and names it."""
    (tmp_path / "theirs.yml").write_text("merge_method: passthrough\nmodels: [{model: org/a}]\n")
    out = tmp_path / "ours.yml"
    code, printed, err = run(capsys, "convert", str(tmp_path / "theirs.yml"), "-o", str(out))
    assert (code, printed, err) == (0, "", f"wrote {out}\n")
    assert out.read_text().startswith("stacker: 1")
