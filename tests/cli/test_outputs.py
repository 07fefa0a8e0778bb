"""Outputs that would replace what a command reads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.commands import run
from tests.donors import write_llama
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


@pytest.fixture
def donor(home: Path) -> Path:
    """A donor's folder in the current one, a spec of it, and a spec that has that spec as its donor."""
    write_llama(home / "donor")
    (home / "one.yml").write_text("stacker: 1\ndonors: {a: ./donor}\nstack: [a]\n")
    (home / "two.yml").write_text("stacker: 1\ndonors: {b: {stack: one.yml}}\nstack: [b]\n")
    return home / "donor"


@pytest.mark.parametrize("option", ["--svg", "--html"])
@pytest.mark.parametrize("name", ["donor/config.json", "donor/model.safetensors", "one.yml", "s.yml"])
def test_a_picture_replaces_only_a_picture(
    option: str, name: str, donor: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files of donors, and specs, even those that the command does not read."""
    before = (donor.parent / name).read_bytes()
    code, _, err = run(capsys, "preview", "one.yml", option, name)
    assert (code, "would replace" in err) == (2, True)
    assert (donor.parent / name).read_bytes() == before


@pytest.mark.usefixtures("donor")
def test_pictures_are_drawn_anew(capsys: pytest.CaptureFixture[str]) -> None:
    """A drawing replaces a drawing, a page a page, also in a donor's folder; neither replaces the other."""
    for _ in range(2):
        words = ("preview", "one.yml", "--svg", "donor/map.svg", "--html", "donor/map.html")
        assert run(capsys, *words)[0] == 0
    assert run(capsys, "preview", "one.yml", "--svg", "donor/map.html")[0] == 2


@pytest.mark.parametrize("command", [("preview", "--svg"), ("convert", "-o"), ("convert", "--to", "mergekit", "-o")])
@pytest.mark.usefixtures("donor")
def test_nested_specs_are_inputs(command: tuple[str, ...], home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A spec that is a donor of the spec is read, and stays."""
    before = (home / "one.yml").read_text()
    code, _, err = run(capsys, command[0], "two.yml", *command[1:], "one.yml")
    assert (code, "would replace one.yml" in " ".join(err.split())) == (2, True)
    assert (home / "one.yml").read_text() == before


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("convert", "one.yml", "-o"), id="convert"),
        pytest.param(("sweep", "one.yml", "--text", "t.txt", "-o"), id="sweep"),
        pytest.param(("search", "one.yml", "--text", "t.txt", "-o"), id="search"),
        pytest.param(("new", "passes", "--donor", "a=./donor", "-p", "width=3", "--force", "-o"), id="new"),
    ],
)
@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "generation_config.json"])
def test_no_spec_replaces_a_file_of_a_model(
    words: tuple[str, ...], name: str, donor: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither those of the donors nor of others."""
    before = (donor / name).read_bytes()
    code, _, err = run(capsys, *words, f"donor/{name}")
    assert (code, "would replace" in err) == (2, True)
    assert (donor / name).read_bytes() == before


@pytest.mark.parametrize(
    "out",
    [
        pytest.param("donor", id="the donor"),
        pytest.param("donor/out", id="inside"),
        pytest.param("donor/deep/out", id="deep inside"),
        pytest.param(".", id="around"),
        pytest.param("shortcut/out", id="through a link"),
    ],
)
def test_no_build_goes_into_a_donor(out: str, donor: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is written into a donor's folder, with --force neither."""
    (donor / "deep").mkdir()
    (donor.parent / "shortcut").symlink_to("donor")
    before = sorted(path.name for path in donor.rglob("*"))
    for more in ((), ("--force",), ("--shards", "1/1")):
        code, _, err = run(capsys, "build", "one.yml", out, *more)
        assert code in (2, 5), err
        assert sorted(path.name for path in donor.rglob("*")) == before
