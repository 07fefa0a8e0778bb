"""Every command has a help text with examples, and is listed on the page about the command line."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main

from stacker.cli import app, command_name
from tests.cli.commands import run

PAGE = (Path(__file__).parent.parent.parent / "docs" / "command-line.md").read_text(encoding="utf-8")
COMMANDS = {command_name(command): command for command in app.registered_commands if not command.hidden}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The help ends with examples, each a call of this command."""
    lines = [line.replace("[dim]$[/dim] ", "") for line in str(COMMANDS[name].epilog).split("\n\n")]
    assert {tuple(shlex.split(line)[:2]) for line in lines} == {("stacker", name)}
    code, out, _ = run(capsys, name, "--help")
    assert code == 0
    assert lines[0].split()[1] in out


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_values_have_words(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The help says what a value is, never its type in Python or only that it is text."""
    _, out, _ = run(capsys, *filter(None, [name]), "--help")
    table = [line for line in out.splitlines() if line.startswith("│")]
    assert table
    assert not [line for line in table if re.search(r"<\w|  (TEXT|INTEGER|FLOAT)  ", line)]


@pytest.mark.parametrize("name", COMMANDS)
def test_short_options_have_long_forms(name: str) -> None:
    """A script can spell out every option."""
    commands: dict[str, Any] = getattr(typer.main.get_command(app), "commands", {})
    options = [param.opts for param in commands[name].params if param.param_type_name == "option"]
    assert all(any(word.startswith("--") for word in words) for words in options)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_on_the_page(name: str) -> None:
    """docs/command-line.md mentions the command."""
    assert f"stacker {name}" in PAGE


def test_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` lists every command in the order of use, except `help` itself."""
    code, out, _ = run(capsys, "--help")
    assert code == 0
    assert [name for name, command in COMMANDS.items() if command.hidden] == ["help"]
    places = [out.index(f"│ {name} ") for name in COMMANDS if name != "help"]
    assert places == sorted(places)
    assert next(iter(COMMANDS)) == "recipes"
