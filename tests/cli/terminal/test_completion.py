"""Shell completion."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stacker.cli.terminal import completion
from tests.donors import write_llama


def offered(words: str, cwd: Path, **environment: str) -> list[str]:
    """The completions of the last word, requested the way bash does it."""
    env = os.environ | {"_STACKER_COMPLETE": "complete_bash", "COMP_WORDS": words, **environment}
    env["COMP_CWORD"] = str(len(words.split(" ")) - 1)
    program = "import sys; sys.argv = ['stacker']; from stacker.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    return done.stdout.split()


CASES = {
    "commands": ("stacker pre", "preview"),
    "recipes": ("stacker recipes gol", "goliath-120b"),
    "new": ("stacker new sol", "solar"),
    "ops": ("stacker ops sl", "slerp"),
    "architectures": ("stacker architectures mixt", "mixtral"),
    "donors": ("stacker inspect ti", "tiny"),
    "references": ("stacker new solar --like mist", "mistral-7b"),
}


@pytest.mark.parametrize(("words", "expected"), CASES.values(), ids=CASES.keys())
def test_words_are_completed(words: str, expected: str, tmp_path: Path) -> None:
    """Commands, recipes, ops, families, donors and reference configs are offered."""
    write_llama(tmp_path / "tiny")
    assert expected in offered(words, tmp_path)


def test_hub_ids_come_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Donors in the cache are offered by their hub id."""
    (tmp_path / "models--org--name").mkdir()
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert completion.complete_donor("or") == ["org/name"]
    assert completion.complete_named_donor("a=or") == ["a=org/name"]


def test_folders_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without a config.json is offered with a slash; hidden folders are not offered."""
    write_llama(tmp_path / "donors/tiny")
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "none"))
    assert completion.complete_donor("") == ["donors/"]
    assert completion.complete_donor("donors/") == ["donors/tiny"]
    assert completion.complete_donor("nowhere/x") == []
