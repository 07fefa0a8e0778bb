"""Tables in narrow terminals: lines are broken between words, and nothing is cut off."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.commands import run
from tests.donors import write_llama

WIDE = "2000"
FIRST_HEADERS = {"family", "generator", "number", "op", "parameter", "part", "recipe", "tensor"}
"""Headers that a row shown as a list does without, because it begins with the name."""
COMMANDS = {
    "ops": ["ops"],
    "an op": ["ops", "nuslerp"],
    "recipes": ["recipes"],
    "families": ["architectures"],
    "a family": ["architectures", "llama"],
    "a donor": ["inspect", "donor"],
    "a difference": ["diff", "donor", "other"],
}


@pytest.mark.parametrize("width", ["60", "80"])
@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_no_word_is_broken(
    words: list[str], width: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The words are those that a very wide terminal shows, all of them."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("donor", "other")):
        write_llama(tmp_path / name, seed=seed, layers=4 + seed)
    monkeypatch.setenv("COLUMNS", WIDE)
    whole = run(capsys, *words)[1].replace(":", " ").split()
    monkeypatch.setenv("COLUMNS", width)
    narrow = run(capsys, *words)[1]
    shown = set(narrow.replace(":", " ").split())
    assert shown <= set(whole)
    assert set(whole) - shown <= FIRST_HEADERS
    assert max(map(len, narrow.splitlines())) <= int(width)
