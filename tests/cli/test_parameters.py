"""Parameters set on the command line, from Python and by other specs: what is built, and what is written into it."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

import stacker
from stacker.errors import SpecError
from stacker.io.donors.reader import read_donor, remember_donors
from tests.cli.commands import run
from tests.donors import write_llama

SPEC = """\
stacker: 1
name: s
parameters:
  cut: {value: 4, range: [2, 6]}  # where it is cut
donors: {a: ../a}
stack:
  - a[0:${cut}]
  - a[${cut-2}:6]
"""
WRITTEN = SPEC.replace("${cut}", "5").replace("${cut-2}", "3").replace("cut: {value: 4, range: [2, 6]}", "")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a spec with a parameter; its donor is beside it."""
    write_llama(tmp_path / "a", seed=1)
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "s.yml").write_text(SPEC)
    (folder / "written.yml").write_text(WRITTEN)
    monkeypatch.chdir(folder)
    return folder


def test_what_is_built_says_what_was_set(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A build with -p has the tensors and plan of the values, and its stacker.yml builds the same again."""
    assert run(capsys, "build", "s.yml", "../out", "-p", "cut=5", "-q")[0] == 0
    spec = Path("../out/stacker.yml").read_text()
    assert spec == SPEC.replace("value: 4", "value: 5")
    assert run(capsys, "build", "../out/stacker.yml", "../again", "-q")[0] == 0
    assert run(capsys, "build", "written.yml", "../plain", "-q")[0] == 0
    plans = {stacker.load(name).plan().id for name in ("../out/stacker.yml", "written.yml")}
    assert len(plans) == 1
    assert len({(home.parent / name / "model.safetensors").read_bytes() for name in ("out", "again", "plain")}) == 1


@pytest.mark.usefixtures("home")
def test_python() -> None:
    """Python sets parameters by name, and binds others to a stack without reading its donors again."""
    reads = []

    def read(*words: object) -> object:
        reads.append(words)
        return read_donor(*words)  # type: ignore[arg-type]

    stack = stacker.load("s.yml", remember_donors(read), {"cut": 5})  # type: ignore[arg-type]
    assert stack.plan().id == stacker.load("written.yml").plan().id
    bound = stack.bind({"cut": 3}, remember_donors(read))  # type: ignore[arg-type]
    assert [len(each.graph.layers) for each in (stack, bound)] == [8, 8]
    assert b"value: 3, range" in bound.write_spec()
    with pytest.raises(SpecError, match="outside its range"):
        stack.bind({"cut": 7})


def read_tensors(folder: Path) -> dict[str, bytes]:
    """The bytes of each tensor of a checkpoint in one file, by name."""
    data = (folder / "model.safetensors").read_bytes()
    begin = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:begin])
    header.pop("__metadata__", None)
    spans = {name: entry["data_offsets"] for name, entry in header.items()}
    return {name: data[begin + start : begin + stop] for name, (start, stop) in spans.items()}


def test_donors_that_are_specs(home: Path) -> None:
    """A spec sets the parameters of the specs that are its donors; two donors can be one spec with other values."""
    (home / "outer.yml").write_text(
        "stacker: 1\nparameters: {n: 5}\n"
        'donors: {x: {stack: s.yml, parameters: {cut: "${n}"}}, y: {stack: s.yml}}\nstack: [x, "y[0:4]"]\n'
    )
    flat = "stacker: 1\ndonors: {a: ../a}\nstack: ['a[0:5]', 'a[3:6]', 'a[0:4]']\n"
    (home / "flat.yml").write_text(flat)
    layers = [stacker.load(name).graph.layers for name in ("outer.yml", "flat.yml")]
    assert len(layers[0]) == len(layers[1]) == 12
    stacker.load("outer.yml").build("one")
    stacker.load("flat.yml").build("other")
    assert read_tensors(home / "one") == read_tensors(home / "other")
    (home / "outer.yml").write_text((home / "outer.yml").read_text().replace("{n: 5}", "{n: 9}"))
    with pytest.raises(SpecError, match=r"s.yml:4:3: parameter 'cut' is 9, outside"):
        stacker.load("outer.yml")


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("command", ["check", "preview", "plan", "config", "convert"])
def test_commands(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every command that looks at a spec shows what it shows of the spec with the values written out."""
    with_values = run(capsys, command, "s.yml", "-p", "cut=5")
    written = run(capsys, command, "written.yml")
    assert with_values[0] == written[0] == 0
    assert with_values[1].replace("s.yml", "") == written[1].replace("written.yml", "")


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("check", "s.yml", "-p", "cut"), "'cut' is not NAME=VALUE"),
        (("check", "s.yml", "-p", "cut=3", "-p", "cut=4"), "sets 'cut' twice"),
        (("check", "s.yml", "-p", "cutt=3"), "did you mean 'cut'?"),
        (("check", "s.yml", "-p", "cut=9"), "outside its range [2, 6]"),
        (("check", "written.yml", "-p", "cut=3"), "declares no parameters"),
        (("preview", "s.yml", "written.yml", "-p", "cutt=3"), "no spec has a parameter 'cutt'"),
        (("run", "../a", "-p", "cut=3", "--prompt", "x"), "no spec has a parameter 'cut'"),
    ],
)
def test_wrong_words(words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Words that set nothing, or something that is not allowed, are errors of usage."""
    code, _, error = run(capsys, *words)
    assert code == 2
    assert message in error


@pytest.mark.usefixtures("home")
def test_several_specs(capsys: pytest.CaptureFixture[str]) -> None:
    """Of several specs, those that declare a parameter get its value."""
    code, out, _ = run(capsys, "preview", "s.yml", "written.yml", "-p", "cut=5", "--json")
    assert code == 0
    found = json.loads(out)
    assert found["left"]["figures"] == found["right"]["figures"]
    assert found["left"]["figures"]["layers"] == 8


@pytest.mark.usefixtures("home")
def test_standard_input(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A spec from standard input takes parameters too."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(SPEC.encode())))
    code, out, _ = run(capsys, "convert", "-", "-p", "cut=6")
    assert (code, "a[0:6]" in out) == (0, True)
