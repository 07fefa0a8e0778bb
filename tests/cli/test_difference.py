"""`stacker diff`, by tables and by weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from safetensors.torch import load_file, save_file

from tests.cli.commands import run
from tests.donors import write_llama


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a donor, a deeper one, and a fine-tune of the first that changes layer 4 most."""
    write_llama(tmp_path / "a", seed=1)
    write_llama(tmp_path / "deep", layers=8, seed=2)
    shutil.copytree(tmp_path / "a", tmp_path / "tuned")
    tensors = load_file(tmp_path / "a" / "model.safetensors")
    for name, tensor in tensors.items():
        if "q_proj" in name:
            tensors[name] = tensor * (1.5 if ".4." in name else 1.25)
    save_file(tensors, tmp_path / "tuned" / "model.safetensors", metadata={"format": "pt"})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    return tmp_path


@pytest.mark.usefixtures("home")
def test_diff(capsys: pytest.CaptureFixture[str]) -> None:
    """Config entries and tensors that differ, layers run together, and a count of the rest."""
    code, out, err = run(capsys, "diff", "./a", "./deep")
    assert (code, err) == (1, "")
    assert "num_hidden_layers" in out
    assert "model.layers.{i}.mlp.down_proj.weight  6–7" in out
    assert "config entries that differ: 1; tensors only in the second: 18; tensors alike: 57" in out


@pytest.mark.usefixtures("home")
def test_diff_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    """The same as JSON; equal donors are reported as the same."""
    _, out, _ = run(capsys, "diff", "./a", "./deep", "--json")
    said = json.loads(out)
    assert said["config"] == {"num_hidden_layers": [6, 8]}
    assert (said["same"], len(said["only_second"]), said["alike"]) == (False, 18, 57)
    code, out, _ = run(capsys, "diff", "./a", "./a", "--json")
    assert (code, json.loads(out)["same"]) == (0, True)
    code, out, _ = run(capsys, "diff", "./a", "./a")
    assert code == 0
    assert "the same config, and 57 tensors" in out
    assert "values were not compared" in out


@pytest.mark.usefixtures("home")
def test_weights(capsys: pytest.CaptureFixture[str]) -> None:
    """The map has a row for each role; the layers that changed most are named, and the exit code says that they did."""
    code, out, _ = run(capsys, "diff", "./a", "./tuned", "--weights")
    assert code == 1
    (row,) = [line for line in out.splitlines() if line.startswith("attn.q ") and "%" not in line]
    cells = row.split()[1]
    assert len(cells) == 12
    assert cells[8:10] not in cells[:8]
    assert "layers that changed most: 4 (" in out
    assert "0" * 12 in out
    assert "values were not compared" not in out


@pytest.mark.usefixtures("home")
def test_weights_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Distances by role, layer and tensor."""
    code, out, err = run(capsys, "diff", "./a", "./tuned", "--weights", "--json")
    said = json.loads(out)
    assert (code, err, said["same"], said["weights"]["same"]) == (1, "", False, False)
    cells = {(each["role"], each["layer"]): each["distance"] for each in said["weights"]["cells"]}
    assert cells["attn.q", 4] == pytest.approx(0.5, rel=0.01)
    assert cells["attn.q", 3] == pytest.approx(0.25, rel=0.01)
    assert cells["attn.k", 4] == 0
    assert said["weights"]["most_changed"][0] == 4
    assert len(said["weights"]["tensors"]) == 57


@pytest.mark.usefixtures("home")
def test_equal_weights(capsys: pytest.CaptureFixture[str]) -> None:
    """Equal checkpoints exit with 0."""
    code, out, _ = run(capsys, "diff", "./a", "./a", "--weights")
    assert code == 0
    assert "the values of 57 tensors are the same" in out


def test_svg(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The drawing has a cell for each role and layer; without --weights there is nothing to draw."""
    code, _, _ = run(capsys, "diff", "./a", "./tuned", "--weights", "--svg", "map.svg")
    root = ET.parse(home / "map.svg").getroot()
    assert code == 1
    assert len([each for each in root.iter() if each.get("class") == "cell"]) == 54
    code, _, err = run(capsys, "diff", "./a", "./tuned", "--svg", "map.svg")
    assert (code, "add --weights" in err) == (2, True)


@pytest.mark.usefixtures("home")
def test_checkpoints_of_other_depths(capsys: pytest.CaptureFixture[str]) -> None:
    """Tensors of only one checkpoint are named."""
    code, out, _ = run(capsys, "diff", "./deep", "./a", "--weights")
    assert code == 1
    assert "no distance, only in the first: 18 tensors" in out
