"""Scores of a real language model: transformers' own losses, and what is known about which layers can be missed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from stacker.measure.texts import Windowing, cut_windows, read_passages
from tests.cli.commands import run
from tools import smollm2

pytestmark = pytest.mark.slow
STACKS = {"repeated": ["a[0:12]", "a[10:30]"], "dropped": ["a[0:20]", "a[24:30]"], "same": ["a[0:9]", "a[9:30]"]}


@pytest.fixture(scope="module")
def home(donor: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the donor, three stacks of it, and some English text."""
    folder = tmp_path_factory.mktemp("measuring")
    (folder / "smollm2").symlink_to(donor)
    for name, items in STACKS.items():
        entries = {"stacker": 1, "name": name, "donors": {"a": "./smollm2"}, "stack": items}
        (folder / f"{name}.yml").write_text(json.dumps(entries))
    (folder / "text.txt").write_text(smollm2.english()[:5000])
    return folder


def test_known_damage_is_found(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two layers twice cost a little and four layers less cost a lot, both beyond chance; the same layers cost nothing.

    The donor's loss is what transformers computes from labels for each window.
    """
    monkeypatch.chdir(home)
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    words = ("./smollm2", *(f"{name}.yml" for name in STACKS), "--text", "text.txt", "--passage", "600")
    code, out, err = run(capsys, "eval", *words, "--json")
    assert code == 0, err
    columns = [{each["measure"]: each for each in column["figures"]} for column in json.loads(out)["columns"]]
    donor, repeated, dropped, same = columns
    assert donor["loss"]["value"] == pytest.approx(loss_of(home), abs=2e-3)
    assert 0 < repeated["loss"]["difference"]["low"] < repeated["loss"]["difference"]["high"] < 0.5
    assert dropped["loss"]["difference"]["low"] > 0.7
    assert same["loss"]["difference"] | {"passages": 0} == {
        "value": 0, "low": 0, "high": 0, "excludes_zero": False, "passages": 0, "passages_needed": None,
    }  # fmt: skip
    assert (same["kl_divergence"]["value"], same["top1_agreement"]["value"]) == (0, 1)
    assert 0 < repeated["kl_divergence"]["value"] < dropped["kl_divergence"]["value"]


def loss_of(home: Path) -> float:
    """The donor's loss by transformers: windows one by one, with labels."""
    checkpoint, tokenizer = smollm2.load(home / "smollm2")
    total = count = 0.0
    for window in cut_windows(read_passages([home / "text.txt"], 600), tokenizer, Windowing()):
        tokens: Any = torch.tensor([window.tokens])
        labels = tokens.clone()
        labels[:, : window.counted] = -100
        scored = len(window.tokens) - window.counted
        with torch.no_grad():
            total += checkpoint(tokens, labels=labels).loss.item() * scored
        count += scored
    return total / count
