"""Closed or full streams, little memory, and a spec from a pipe: each ends as it should, without a traceback."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.donors import write_llama

SPEC = "stacker: 1\ndonors: {a: ./a}\nstack: [a]\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a donor and a spec."""
    write_llama(tmp_path / "a")
    (tmp_path / "s.yml").write_text(SPEC)
    return tmp_path


def run(home: Path, *words: str, before: Callable[[], None] | None = None) -> tuple[int, str]:
    """Run the program in `home`; returns the exit code and what it wrote on standard error."""
    call = [sys.executable, "-m", "stacker", *words]
    done = subprocess.run(call, cwd=home, capture_output=True, text=True, preexec_fn=before, timeout=60, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize("streams", [(1,), (2,), (1, 2), (0, 1, 2)], ids=str)
def test_closed_streams(home: Path, streams: tuple[int, ...]) -> None:
    """A build whose standard streams are closed is as good as any other, and nothing is printed into its files."""

    def close() -> None:
        for stream in streams:
            os.close(stream)

    assert run(home, "build", "s.yml", "out", before=close)[0] == 0
    assert run(home, "verify", "out")[0] == 0
    assert run(home, "check", "missing.yml", before=close)[0] == 2


@pytest.mark.parametrize("words", [("check", "s.yml"), ("check", "s.yml", "--json"), ("--help",)], ids=" ".join)
def test_a_full_disk(home: Path, words: tuple[str, ...]) -> None:
    """What cannot be printed because the disk is full is one line, also when both streams are full."""

    def fill(*streams: int) -> None:
        full = os.open("/dev/full", os.O_WRONLY)
        for stream in streams:
            os.dup2(full, stream)

    code, err = run(home, *words, before=lambda: fill(1))
    assert code == 5
    assert err.startswith("error: cannot write to standard output: No space left on device")
    assert run(home, *words, before=lambda: fill(1, 2))[0] == 5


@pytest.mark.parametrize("megabytes", [130, 200, 260, 320])
def test_little_memory(home: Path, megabytes: int) -> None:
    """Under a limit on its memory, a build succeeds or says in one line what it lacks."""
    limit = megabytes << 20
    code, err = run(
        home, "build", "s.yml", "out", before=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    )
    assert code in (0, 5)
    assert "Traceback" not in err
    assert (home / "out").exists() == (code == 0)


def test_a_broken_spec_from_a_pipe(home: Path) -> None:
    """A mistake in a spec that comes through a pipe is told without reading the pipe again."""
    command = f"printf 'stack: [}}' | {sys.executable} -m stacker check /dev/stdin"
    done = subprocess.run(["sh", "-c", command], cwd=home, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("/dev/stdin:1:9: error: ")


@pytest.mark.parametrize("content", ["a", "a[0:0]", "b"], ids=["layers", "no layers", "no such donor"])
def test_repeats_in_repeats_end_at_once(home: Path, content: str) -> None:
    """Forty repeats in each other are refused in a few seconds, whatever is in them."""
    nested = "{repeat: [" * 40 + f"'{content}'" + "], times: 1000}" * 40
    (home / "s.yml").write_text(f"stacker: 1\ndonors: {{a: ./a}}\nstack:\n  - {nested}\n")
    code, told = run(home, "check", "s.yml")
    assert code == 2
    assert "Traceback" not in told
