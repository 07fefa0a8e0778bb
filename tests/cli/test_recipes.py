"""`stacker recipes`: the list, a recipe or generator in full, JSON; without the hub."""

from __future__ import annotations

import json

import pytest

from stacker.io.files.spec_files import list_recipes
from stacker.spec.generators import GENERATORS
from tests.cli.commands import run


def test_all_are_listed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every recipe with layers and size, every generator; with --maps, each with a small picture."""
    monkeypatch.setenv("COLUMNS", "120")
    assert not any("⠀" < char <= "⣿" for char in run(capsys, "recipes")[1])
    code, out, err = run(capsys, "recipes", "--maps")
    assert (code, err) == (0, "")
    assert all(name in out for name in (*list_recipes(), *GENERATORS))
    (line,) = [line for line in out.splitlines() if line.startswith("goliath-120b")]
    assert "137" in line
    assert "117.75 B" in line
    assert any("⠀" < char <= "⣿" for char in line)


def test_narrow_terminals_get_no_pictures(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """At 60 columns depth maps are left out, and no line is wider than the terminal."""
    monkeypatch.setenv("COLUMNS", "60")
    code, out, _ = run(capsys, "recipes", "--maps")
    assert code == 0
    assert not any("⠀" < char <= "⣿" for char in out)
    assert max(map(len, out.splitlines())) <= 60


def test_one_is_shown_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    """Source, licence, the preview's figures, and the text of the spec."""
    code, out, _ = run(capsys, "recipes", "goliath-120b")
    assert code == 0
    for part in ("alpindale/goliath-120b", "Llama 2 Community License", "117.75 B", "euryale[57:72]", "stacker: 1"):
        assert part in out


def test_a_generator_is_shown_with_its_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    """Source, numbers with defaults, and an example call."""
    code, out, _ = run(capsys, "recipes", "solar")
    assert code == 0
    for part in ("2312.15166", "n / 4", "stacker new solar --donor a=org/name"):
        assert part in out


def test_json_has_everything(capsys: pytest.CaptureFixture[str]) -> None:
    """One list; recipes with figures and text, generators with numbers."""
    code, out, err = run(capsys, "recipes", "--json")
    said = {each["name"]: each for each in json.loads(out)}
    assert (code, err) == (0, "")
    assert set(said) == {*list_recipes(), *GENERATORS}
    assert said["fatllama-1.7t"]["layers"] == 525
    assert said["goliath-120b"]["donors"]["xwin"]["source"] == "Xwin-LM/Xwin-LM-70B-V0.1"
    assert [number["name"] for number in said["passes"]["numbers"]] == ["width", "stride"]


def test_a_misspelt_name(capsys: pytest.CaptureFixture[str]) -> None:
    """The hint suggests the closest name."""
    code, out, err = run(capsys, "recipes", "goliat-120b")
    assert (code, out) == (2, "")
    assert "did you mean 'goliath-120b'?" in err
