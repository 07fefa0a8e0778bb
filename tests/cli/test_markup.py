"""Brackets in names, paths and values are printed letter by letter, never read as markup of the terminal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import RenderableType

from stacker.arch.families import read_architecture
from stacker.cli import main
from stacker.errors import Problem
from stacker.ops.table import OPS
from stacker.view.stack.comparison import draw_comparison
from stacker.view.stack.preview import draw_lints, draw_preview
from stacker.view.tables.architectures import draw_architecture, draw_architectures
from stacker.view.tables.ops import draw_op, draw_ops
from tests.cli.commands import run
from tests.donors import write_llama
from tests.view.scenes import GOLIATH, REPEATED, printed, scene_of

SPEC = """\
stacker: 1
name: "[/x]"
donors:
  a: {source: "./[red]"}
  b: {source: "./[x]"}
stack:
  - a[0:4]
  - b[2:6]
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: two donors and a spec whose names, paths and config entries look like markup."""
    write_llama(tmp_path / "[red]", seed=1, note="[/x]")
    write_llama(tmp_path / "[x]", seed=2, note="[red]", extra={"[/x]": ("BF16", (4,))})
    (tmp_path / "[red].yml").write_text(SPEC)
    (tmp_path / "bad.yml").write_text(SPEC.replace("b[2:6]", "'[/x][red]'"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    return tmp_path


COMMANDS = {
    "inspect": (["inspect", "./[red]"], ["./[red]"]),
    "diff": (["diff", "./[red]", "./[x]"], ["./[red]", '"[/x]"', '"[red]"', "\n[/x] "]),
    "preview": (["preview", "[red].yml"], ["[/x]  llama"]),
    "compare": (["preview", "[red].yml", "[red].yml"], ["[/x]"]),
    "check": (["check", "[red].yml"], ["[red].yml: 8 layers"]),
    "a wrong slice": (["check", "bad.yml"], ["[/x][red]"]),
    "a missing spec": (["check", "[/x]"], ["[/x]: error"]),
    "a missing donor": (["inspect", "./[/x]"], ["./[/x]"]),
    "build": (["build", "[red].yml", "./[red]out"], ["[red]out: "]),
    "a missing op": (["ops", "[/x]"], ["no op '[/x]'"]),
    "a missing command": (["[/x]"], ["[/x]"]),
    "a wrong option": (["build", "[red].yml", "out", "--device", "[/x]"], ["[/x]"]),
    "doctor": (["doctor", "./[red]"], ["[red]\n"]),
}


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(("words", "parts"), COMMANDS.values(), ids=COMMANDS.keys())
def test_commands_print_brackets(words: list[str], parts: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Names, paths, config values and messages come out as they went in."""
    _, out, err = run(capsys, *words)
    for part in parts:
        assert part in out + err


NAME = "[/x][red]"
VIEWS: dict[str, Callable[[], RenderableType]] = {
    "stack": lambda: draw_preview(replace(scene_of(GOLIATH), name=NAME)),
    "stacks": lambda: draw_comparison(replace(scene_of(GOLIATH), name=NAME), scene_of(REPEATED)),
    "lints": lambda: draw_lints([Problem("a", NAME)]),
    "op": lambda: draw_op(replace(OPS["linear"], name=NAME)),
    "ops": lambda: draw_ops([replace(OPS["linear"], name=NAME)]),
    "family": lambda: draw_architecture(replace(read_architecture("llama"), name=NAME)),
    "families": lambda: draw_architectures([replace(read_architecture("llama"), name=NAME)]),
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS.keys())
def test_views_print_brackets_on_any_console(view: Callable[[], RenderableType]) -> None:
    """Also on a console of somebody else's, where markup is on."""
    assert NAME in printed(view(), 200)


def test_control_characters_are_shown_as_escapes(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An escape sequence in a donor's config is printed as text, so that no file can steer the terminal."""
    write_llama(home / "steer", model_type="\x1b[31mred")
    main(["inspect", str(home / "steer")])
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    assert r"\x1b[31mred" in out


def test_no_columns_mean_the_default(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """COLUMNS=0, as some shells export it, does not hide everything."""
    monkeypatch.setenv("COLUMNS", "0")
    write_llama(home / "plain")
    main(["inspect", str(home / "plain")])
    assert "llama" in capsys.readouterr().out
