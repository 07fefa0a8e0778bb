"""docs/json.md lists exactly the fields that commands print with --json."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from stacker.cli import app, command_name
from tests.cli.commands import run
from tests.docs.blocks import ROOT
from tests.measure.donors_with_words import make_text, write_worded

PAGE = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"(?ms)^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE))
TEXT = ("--text", "text.txt", "--passage", "100", "--window", "32")
SPEC = """\
stacker: 1
name: tall
parameters:
  f: {value: 0.5, range: [0, 1]}
donors: {a: ./a}
stack:
  - a[0:4]
  - slice: a[2:6]
    scale: {mlp.down: "${f}"}
"""
CALLS = {
    "check": ["spec.yml"],
    "preview": ["spec.yml"],
    "plan": ["spec.yml"],
    "build": ["spec.yml", "other"],
    "verify": ["out"],
    "inspect": ["a"],
    "diff": ["a", "b"],
    "doctor": [],
    "recipes": ["goliath-120b"],
    "ops": ["slerp"],
    "architectures": ["llama"],
    "lineage": ["out"],
    "new": ["passes", "--donor", "a=./a", "-p", "width=4"],
    "convert": ["spec.yml", "--to", "native"],
    "run": ["spec.yml", "--prompt", "one", "--max-new-tokens", "2"],
    "eval": ["a", "spec.yml", *TEXT],
    "compare": ["a", "spec.yml", *TEXT],
    "probe": ["a", "--text", "text.txt", "--window", "32"],
    "search": [
        "spec.yml",
        "--text",
        "long.txt",
        "--candidates",
        "3",
        "--passages",
        "8",
        "--window",
        "12",
        "-o",
        "w.yml",
    ],
    "sweep": ["spec.yml", "-p", "f=0,1", *TEXT],
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """The current folder: two donors, a spec, its output, and a text."""
    write_worded(tmp_path, "a", "b")
    (tmp_path / "spec.yml").write_text(SPEC)
    (tmp_path / "text.txt").write_text(make_text(400))
    (tmp_path / "long.txt").write_text(make_text(1600))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    assert run(capsys, "build", "spec.yml", "out")[0] == 0
    return tmp_path


def fields_of(section: str) -> list[str]:
    """The fields in the first column of a section's table."""
    rows = re.findall(r"(?m)^\| (`.*?) \|", SECTIONS[section])
    return [name for row in rows for name in re.findall(r"`(\w+)`", row)]


@pytest.mark.slow
@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("name", CALLS)
def test_fields_are_those_of_the_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The table has every field of the command's value once, and no other."""
    _, out, _ = run(capsys, name, *CALLS[name], "--json")
    value: Any = json.loads(out)
    first: dict[str, Any] = value[0] if isinstance(value, list) else value
    assert sorted(fields_of(name)) == sorted(first)


@pytest.mark.usefixtures("home")
def test_fields_of_a_problem(capsys: pytest.CaptureFixture[str]) -> None:
    """A spec that does not exist is a problem with the fields of the page."""
    code, out, _ = run(capsys, "check", "missing.yml", "--json")
    said = json.loads(out)
    assert code != 0
    assert sorted(said) == ["ok", "problems"]
    assert sorted(fields_of("A problem")) == sorted(said["problems"][0])


def test_every_command_has_a_section() -> None:
    """Commands with --json are on the page; push needs the hub, and schema prints a JSON Schema."""
    names = {command_name(command) for command in app.registered_commands if not command.hidden}
    assert names - set(SECTIONS) <= {"schema", "push", "extract-lora"}
