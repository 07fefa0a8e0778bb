"""`stacker build` and live stacks warn of computed values that are infinite or not a number; `verify` accepts them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors.torch

from stacker.compose import load
from stacker.errors import ProblemWarning
from tests.cli.commands import run
from tests.donors import write_llama
from tests.tokenizers import write_tokenizer

NORM = "model.layers.1.input_layernorm.weight"
SPEC = """\
stacker: 1
name: broken
donors: {a: ./a, b: ./b}
stack:
  - {blend: ["a[0:2]", "b[0:2]"], op: linear, weight: [0.5, 0.5]}
  - "b[1:2]"
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: two donors, of which b has a NaN in a norm of layer 1, and a spec that blends the layers."""
    for seed, name in enumerate("ab"):
        write_llama(tmp_path / name, layers=2, dtype="F32", seed=seed)
        write_tokenizer(tmp_path / name, [f"w{number}" for number in range(16)])
    path = tmp_path / "b/model.safetensors"
    tensors = safetensors.torch.load_file(path)
    tensors[NORM][3] = float("nan")
    safetensors.torch.save_file(tensors, path, {"format": "pt"})
    (tmp_path / "stack.yml").write_text(SPEC)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("home")
def test_a_build_names_the_tensor_and_the_donor(capsys: pytest.CaptureFixture[str]) -> None:
    """The warning names the first tensor, and the donor's tensor with the NaN; copied layers are not judged."""
    code, out, err = run(capsys, "build", "stack.yml", "out", "--json")
    assert code == 0
    assert json.loads(out)["non_finite"] == [NORM]
    told = " ".join(err.split())
    assert f"warning: tensor '{NORM}' got values that are infinite or not a number" in told
    assert f"tensor '{NORM}' of donor 'b' already has such values" in told
    assert run(capsys, "verify", "out")[0] == 0


def test_a_sound_build_says_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A build of finite values has no such warning, even if a donor has a NaN in a layer that is copied."""
    (home / "stack.yml").write_text("stacker: 1\nname: copied\ndonors: {b: ./b}\nstack: ['b[0:2]', 'b[1:2]']\n")
    code, out, err = run(capsys, "build", "stack.yml", "out", "--json")
    assert (code, json.loads(out)["non_finite"]) == (0, [])
    assert "not a number" not in err


@pytest.mark.usefixtures("home")
def test_a_live_stack_warns_of_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """`run` prints the warning that `build` prints, though the answer can be nothing but noise."""
    code, _, err = run(capsys, "run", "stack.yml", "--prompt", "a", "--max-new-tokens", "1")
    told = " ".join(err.split())
    assert code == 0, err
    assert f"warning: tensor '{NORM}' got values that are infinite or not a number" in told
    assert f"tensor '{NORM}' of donor 'b' already has such values" in told


@pytest.mark.usefixtures("home")
def test_python_is_warned_of_live_stacks() -> None:
    """`Stack.live` warns by Python's module `warnings`, with the problem as it is printed."""
    with pytest.warns(ProblemWarning, match="infinite or not a number") as caught:
        load("stack.yml").live()
    assert [str(each.message.problem.severity) for each in caught] == ["warning"]  # type: ignore[union-attr]
