"""Nested stacks in one text, and what a nested stack passes on, built from tiny donors."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file

from stacker.compose import load
from stacker.errors import SpecError
from stacker.run.building import BuildOptions
from tests.donors import write_llama

STAGED = """\
name: inner
merge_method: passthrough
dtype: float32
slices:
  - sources: [{model: a, layer_range: [0, 4]}]
  - sources: [{model: b, layer_range: [4, 6]}]
---
merge_method: linear
models:
  - {model: inner, parameters: {weight: 1}}
  - {model: b, parameters: {weight: 1}}
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with two donors."""
    for seed, name in enumerate(("a", "b")):
        write_llama(tmp_path / name, seed=seed, dtype="F32")
        (tmp_path / name / "tokenizer.json").write_text(f'{{"of": "{name}"}}')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_stages_are_built_as_one(home: Path) -> None:
    """The first document's layers are blended with the second donor's, and no intermediate output is written."""
    (home / "staged.yml").write_text(STAGED)
    load(home / "staged.yml").build(home / "out")
    a, b, out = (load_file(home / name / "model.safetensors") for name in ("a", "b", "out"))
    name = "model.layers.{}.mlp.up_proj.weight"
    mean = (a[name.format(3)].double() + b[name.format(3)].double()) / 2
    assert out[name.format(3)].equal(mean.float())
    assert out[name.format(5)].equal(b[name.format(5)])
    assert sorted(path.name for path in home.iterdir()) == ["a", "b", "out", "staged.yml"]


def test_an_inner_stack_brings_its_own_tokenizer(home: Path) -> None:
    """The tokenizer of the inner spec is the nested donor's tokenizer in the outer spec."""
    donors = "donors: {a: ./a, b: ./b}\n"
    (home / "inner.yml").write_text(f"stacker: 1\n{donors}stack: [a, b]\ntokenizer: b\n")
    (home / "outer.yml").write_text("stacker: 1\ndonors: {i: {stack: inner.yml}}\nstack: [i]\n")
    load(home / "outer.yml").build(home / "out")
    assert (home / "out/tokenizer.json").read_text() == '{"of": "b"}'
    assert (home / "out/generation_config.json").exists()


@pytest.mark.parametrize("out", ["a", "."], ids=["the donor", "a folder with donors in it"])
def test_a_donor_is_never_replaced(home: Path, out: str) -> None:
    """`force` replaces an output, but never a donor of the stack."""
    (home / "s.yml").write_text("stacker: 1\ndonors: {a: ./a}\nstack: [a]\n")
    (home / "model.safetensors").touch()
    with pytest.raises(
        SpecError, match=r"the donor would be overwritten: 'a'|holds files that do not belong to the checkpoint"
    ):
        load(home / "s.yml").build(home.resolve() / out, BuildOptions(force=True))
    assert (home / "a/config.json").exists()
