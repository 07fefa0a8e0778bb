"""Outputs as specs: what the model card says builds the same checkpoint again, from where the output lies."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stacker.compose import load
from tests.cli.commands import run
from tests.donors import write_llama

NATIVE = "stacker: 1\ndonors: {a: ../donors/a, b: ../donors/b}\nstack: ['a[0:4]', 'b[2:6]']\n"
NESTED = "stacker: 1\ndonors: {t: {stack: inner/tail.yml}, a: ../donors/a}\nstack: ['a[0:2]', 't[1:4]']\n"
INNER = "stacker: 1\ndonors: {a: ../../donors/b, z: {stack: last.yml}}\nstack: ['a[0:3]', 'z[0:1]']\n"
LAST = "stacker: 1\ndonors: {a: ../../donors/a}\nstack: ['a[5]']\n"
THEIRS = (
    "merge_method: passthrough\nslices:\n"
    "  - sources: [{model: ../donors/a, layer_range: [0, 4]}]\n"
    "  - sources: [{model: ../donors/b, layer_range: [2, 6]}]\n"
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two donors, specs in another folder, and the current folder elsewhere."""
    write_llama(tmp_path / "donors/a", seed=1)
    write_llama(tmp_path / "donors/b", seed=2)
    (tmp_path / "specs/inner").mkdir(parents=True)
    (tmp_path / "specs/inner/tail.yml").write_text(INNER)
    (tmp_path / "specs/inner/last.yml").write_text(LAST)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


@pytest.mark.parametrize("text", [NATIVE, NESTED, THEIRS], ids=["native", "nested", "mergekit"])
def test_an_output_builds_again_from_where_it_lies(text: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The output's folder, and the spec in it, have the plan of the output, although the first specs are gone."""
    (home / "specs/spec.yml").write_text(text)
    assert run(capsys, "build", "-q", "../specs/spec.yml", "../made/out")[0] == 0
    (home / "specs").rename(home / "gone")
    lock = json.loads((home / "made/out/stacker.lock.json").read_text())
    assert load(home / "made/out").plan().id == lock["plan"]["id"]
    assert run(capsys, "build", "-q", "../made/out/stacker.yml", "again")[0] == 0
    shards = [path.name for path in (home / "made/out").glob("*.safetensors")]
    assert shards
    assert all((home / "made/out" / name).read_bytes() == (home / "work/again" / name).read_bytes() for name in shards)


def test_looking_takes_outputs_and_recipes(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`check` and `preview` take the folder of an output, and a recipe's name."""
    (home / "specs/spec.yml").write_text(NATIVE)
    run(capsys, "build", "-q", "../specs/spec.yml", "out")
    assert "8 layers" in run(capsys, "check", "out")[1]
    code, shown, _ = run(capsys, "preview", "goliath-120b")
    assert code == 0
    assert "137 layers" in shown


def test_a_folder_that_is_no_output_is_no_spec(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A donor's folder is refused as before."""
    code, _, err = run(capsys, "check", str(home / "donors/a"))
    assert (code, "this is a folder" in err) == (2, True)


KILLED = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells ignore it for programs in the background
from stacker.cli import program
from stacker.io.output.folder import Output
record = Output.record
def record_and_interrupt(self, *words, **options):
    record(self, *words, **options)
    if self.recorded:
        os.kill(os.getpid(), signal.SIGINT)
Output.record = record_and_interrupt
program()
"""


def test_an_interrupted_build_says_what_it_keeps(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C names the folder and the bytes kept, the next run says where it goes on, and other commands know."""
    (home / "specs/spec.yml").write_text(NATIVE + "output: {shard_size: 4kB}\n")
    words = ["build", "-q", "-j", "1", "../specs/spec.yml", "out"]
    done = subprocess.run([sys.executable, "-c", KILLED, *words], capture_output=True, text=True, check=False)
    assert done.returncode in (130, -signal.SIGINT)
    assert "out.partial: note: interrupted: this folder keeps " in done.stderr
    assert "the same command goes on" in done.stderr
    for command in (["verify", "out"], ["verify", "out.partial"], ["inspect", "./out.partial"]):
        code, _, err = run(capsys, *command)
        assert code in (2, 3)
        assert "not finished" in err
    code, _, err = run(capsys, *words)
    assert code == 0
    assert "going on: an earlier run wrote " in err
    assert run(capsys, "verify", "-q", "out")[0] == 0
