"""`stacker new`: specs for given donors, from recipes and generators."""

from __future__ import annotations

import json
import os
import pty
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from stacker.spec.generators import GENERATORS
from tests.cli.commands import run
from tests.donors import write_llama


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with two donors of 6 layers and one of 8."""
    for seed, (name, layers) in enumerate({"a": 6, "b": 6, "deep": 8}.items()):
        write_llama(tmp_path / name, seed=seed, layers=layers)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def donors(*names: str) -> list[str]:
    return [word for name in names for word in ("--donor", f"{name}=./{name}")]


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("generator", GENERATORS)
def test_every_generator_fits_the_donor(generator: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With donors alone, the spec that is written passes `check` and builds."""
    named = donors(*"ab"[: GENERATORS[generator].donors[0]])
    code, _, err = run(capsys, "new", generator, *named, "-o", "spec.yml")
    assert (code, err) == (0, "spec.yml: written; look at it with: stacker preview spec.yml\n")
    assert run(capsys, "check", "spec.yml")[0] == 0
    assert run(capsys, "build", "spec.yml", "out", "--quiet") == (0, "", "")


@pytest.mark.usefixtures("home")
def test_the_spec_goes_to_standard_output(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The text alone, for a pipe; a comment names the generator and the numbers."""
    code, out, err = run(capsys, "new", "passes", *donors("a"), "-p", "width=3", "-p", "stride=3")
    assert (code, err) == (0, "")
    assert "# Made by: passes with width=3, stride=3; 6 layers of donors with 6." in out
    (home / "piped.yml").write_text(out)
    assert run(capsys, "check", "piped.yml")[0] == 0


def test_folders_are_seen_from_the_spec(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Donor folders are written relative to the spec's folder."""
    (home / "specs").mkdir()
    assert run(capsys, "new", "solar", "--donor", "a=a", "-o", "specs/solar.yml")[0] == 0
    assert "a: ../a" in (home / "specs/solar.yml").read_text()
    assert run(capsys, "check", "specs/solar.yml")[0] == 0


@pytest.mark.usefixtures("home")
def test_a_donor_that_is_away(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a readable donor, its depth is needed: as a number or from a reference config."""
    code, _, err = run(capsys, "new", "solar", "--donor", "a=./away")
    assert code == 3
    assert "-p depth=32" in err
    code, out, err = run(capsys, "new", "solar", "--donor", "a=./away", "-p", "depth=32")
    assert (code, "a[8:32]" in out, "note:" in err) == (0, True, True)
    code, out, err = run(capsys, "new", "solar", "--donor", "a=./away", "--like", "mistral-7b")
    assert (code, "like: mistral-7b" in out, err) == (0, True, "")


@pytest.mark.usefixtures("home")
def test_a_recipe_keeps_its_comments_and_its_reference(capsys: pytest.CaptureFixture[str]) -> None:
    """Only the donor's source changes."""
    code, out, _ = run(capsys, "new", "goliath-120b", "--donor", "xwin=org/other")
    assert code == 0
    assert "xwin: {source: org/other, like: llama-2-70b}" in out
    assert "# Published: 137 layers" in out


def test_a_nested_recipe_comes_with_those_it_is_made_of(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All files are written side by side, with the donor in the innermost one, and pass `check`."""
    (home / "fat").mkdir()
    words = ("new", "fatllama-1.7t", "--donor", "llama=org/llama")
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert "writes all 3 files side by side" in err
    assert run(capsys, *words, "-o", "fat/fat.yml")[0] == 0
    assert "org/llama" in (home / "fat/bigllama-3.1-681b.yaml").read_text()
    code, out, _ = run(capsys, "check", "fat/fat.yml")
    assert (code, "525 layers" in out) == (0, True)


@pytest.mark.usefixtures("home")
def test_json(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The texts by file name, whether they are written or not."""
    code, out, err = run(capsys, "new", "solar", *donors("a"), "--json")
    said = json.loads(out)
    assert (code, err, said["file"]) == (0, "", None)
    assert "a[0:5]" in said["specs"]["solar.yml"]
    assert not (home / "solar.yml").exists()


def test_files_are_not_overwritten(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only --force replaces an existing file."""
    (home / "mine.yml").write_text("mine")
    words = ("new", "solar", *donors("a"), "-o", "mine.yml")
    code, _, err = run(capsys, *words)
    assert (code, "--force replaces it" in err) == (2, True)
    assert (home / "mine.yml").read_text() == "mine"
    assert run(capsys, *words, "--force")[0] == 0


WRONG = {
    "no recipe": (["new", "salar"], 2, "did you mean 'solar'?"),
    "nothing said": (["new"], 2, "stacker recipes lists all of them"),
    "no donor": (["new", "solar"], 2, "solar takes 1 donor, not 0"),
    "one donor of two": (["new", "interleave", *donors("a")], 2, "interleave takes 2 donors or more, not 1"),
    "no name": (["new", "solar", "--donor", "./a"], 2, "'./a' is not NAME=…"),
    "no such number": (["new", "passes", *donors("a"), "-p", "widht=3"], 2, "did you mean 'width'?"),
    "no number": (
        ["new", "passes", *donors("a"), "-p", "width=three"],
        2,
        "-p width=three: error: this must be a whole",
    ),
    "too much": (["new", "passes", *donors("a"), "-p", "width=30"], 2, "width is 30, but there are only 6 layers"),
    "numbers for a recipe": (["new", "goliath-120b", "-p", "width=3"], 2, "has no numbers to set"),
    "no such donor of a recipe": (["new", "goliath-120b", "--donor", "xwn=./a"], 2, "did you mean 'xwin'?"),
    "a donor too shallow": (["new", "solar-10.7b", "--donor", "mistral=./a"], 2, "which has 6 layers"),
    "different depths": (["new", "interleave", *donors("a", "deep")], 2, "a has 6, deep has 8"),
    "no such folder": (["new", "solar", *donors("a"), "-o", "none/x.yml"], 5, "mkdir -p none"),
}


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(("words", "code", "message"), WRONG.values(), ids=WRONG.keys())
def test_wrong_requests(words: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each mistake has its exit code and a message with advice."""
    got, out, err = run(capsys, *words)
    assert (got, out) == (code, "")
    assert message in err


def converse(home: Path, answers: Sequence[str], *words: str) -> tuple[int, str]:
    """Run a command on a terminal of its own and type an answer at each prompt; exit code and everything shown."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(home)
        os.execv(sys.executable, [sys.executable, "-m", "stacker", *words])
    shown, left = b"", list(answers)
    while True:
        try:
            shown += os.read(terminal, 65536)
        except OSError:  # Linux tells the end of a terminal this way
            break
        if left and shown.endswith(b": "):
            os.write(terminal, left.pop(0).encode() + b"\n")
            shown += b"\n"
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_alone_on_a_terminal_it_asks(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Recipe (asked again after a typo), donor, numbers, file; the spec follows the answers."""
    code, shown = converse(home, ["salar", "solar", "./a", "", "2", "asked.yml"], "new")
    assert code == 0
    assert "did you mean 'solar'?" in shown
    assert "6 layers" in shown
    text = (home / "asked.yml").read_text()
    assert ("a[0:4]" in text, "a[2:6]" in text) == (True, True)
    assert run(capsys, "check", "asked.yml")[0] == 0
