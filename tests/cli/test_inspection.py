"""`stacker inspect` and `doctor`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.commands import run
from tests.donors import write_llama
from tests.gguf_donors import write_gguf


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a plain donor, a deeper one, and one whose attention depends on the layer's index."""
    write_llama(tmp_path / "a", seed=1)
    write_llama(tmp_path / "deep", layers=8, seed=2)
    norms = {
        f"model.layers.{n}.{name}.weight": ("BF16", (16,))
        for n in range(6)
        for name in ("pre_feedforward_layernorm", "post_feedforward_layernorm")
    }
    write_llama(tmp_path / "gemma", model_type="gemma2", tied=True, head_dim=8, extra=norms, sliding_window=8)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    return tmp_path


@pytest.mark.usefixtures("home")
def test_inspect_tries_some_stacks(capsys: pytest.CaptureFixture[str]) -> None:
    """Kinds of layers, and that a plain donor can be stacked in any order."""
    code, out, err = run(capsys, "inspect", "./a")
    assert (code, err) == (0, "")
    assert "6: 0–5" in out
    assert "all alike" in out
    assert out.count("fine") == 5


@pytest.mark.usefixtures("home")
def test_inspect_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Kinds and verdicts for programs."""
    code, out, _ = run(capsys, "inspect", "./gemma", "--json")
    said = json.loads(out)
    assert code == 0
    assert [kind["layers"] for kind in said["kinds"]] == [[0, 2, 4], [1, 3, 5]]
    assert said["stacked"]["as it is"] == []


def test_inspect_shows_problems_of_stacks(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """If a family's config cannot describe a stack, inspect shows the reason."""
    extra = {f"model.layers.{n}.block.weight": ("BF16", (4,)) for n in range(0, 6, 2)}
    write_llama(home / "odd", model_type="unknown_hybrid", extra=extra)
    code, out, _ = run(capsys, "inspect", "./odd")
    assert code == 0
    assert "as it is: fine" in out
    assert "a layer twice: refused" in out


def test_inspect_refuses_blends_of_quantised_layers(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Quantised layers can be put in any order, but not blended."""
    write_llama(home / "quantised", quantization_config={"quant_method": "gptq", "bits": 4})
    code, out, _ = run(capsys, "inspect", "./quantised")
    assert code == 0
    assert "the whole twice: fine" in out
    assert "blended: refused" in out


@pytest.mark.usefixtures("home")
def test_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    """Versions, filesystem and hub as text and as JSON."""
    code, out, err = run(capsys, "doctor")
    assert (code, err) == (0, "")
    for part in ("torch", "clone blocks", "HF_HUB_OFFLINE is set"):
        assert part in out
    _, out, _ = run(capsys, "doctor", "a", "--json")
    said = json.loads(out)
    assert said["folder"]["path"].endswith("/a")
    assert said["hub"]["offline"] is True


@pytest.mark.usefixtures("home")
def test_doctor_names_what_brings_a_package(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command that installs a missing package is printed with its brackets."""
    monkeypatch.setattr("stacker.io.machine._find_version", lambda _: None)
    _, out, _ = run(capsys, "doctor")
    assert "pip install 'stacker-llm[live]'" in " ".join(out.split())


@pytest.mark.usefixtures("home")
def test_doctor_without_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that does not exist is an error."""
    code, _, err = run(capsys, "doctor", "nowhere")
    assert (code, "there is no such folder" in err) == (5, True)


def test_inspect_shows_the_tokenizer_of_a_gguf_file(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is in the metadata, not in files beside it."""
    write_gguf(home / "a.gguf", tokens=12)
    code, out, _ = run(capsys, "inspect", "./a.gguf")
    assert code == 0
    assert "gpt2 in the metadata, 12 tokens" in out
