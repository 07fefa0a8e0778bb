"""Stacks with per-layer tables outside the layers (columns or rows for each layer), from spec to file, also nested."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from stacker.compose import build, load
from stacker.core.values.expression import Copy
from stacker.errors import DonorError, select_errors
from tests.tokenizers import write_tokenizer

DEPTH, ROWS, WIDTH = 4, 10, 3
TABLE, PROJECTION = "model.embed_tokens_per_layer.weight", "model.per_layer_model_projection.weight"
CONFIG = {"model_type": "new", "num_hidden_layers": DEPTH, "hidden_size": 8, "vocab_size": ROWS, "dtype": "bfloat16"}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Two donors, and a spec of a stack that other specs use as a donor."""
    for seed, name in enumerate("ab"):
        generator = torch.Generator().manual_seed(seed)
        shapes: dict[str, tuple[int, ...]] = {
            "model.embed_tokens.weight": (ROWS, 8),
            TABLE: (ROWS, DEPTH * WIDTH),
            PROJECTION: (DEPTH * WIDTH, 8),
        }
        shapes |= {f"model.layers.{i}.mlp.up.weight": (8, 8) for i in range(DEPTH)} | {"model.norm.weight": (8,)}
        tensors = {key: torch.randn(*shape, generator=generator).bfloat16() for key, shape in shapes.items()}
        (tmp_path / name).mkdir()
        save_file(tensors, tmp_path / name / "model.safetensors")
        (tmp_path / name / "config.json").write_text(json.dumps(CONFIG))
    write_spec(tmp_path / "inner.yml", ["a[2:4]", "b[0:2]", {"slice": "b[3]", "scale": {"embed.other": 0.5}}])
    return tmp_path


def write_spec(path: Path, stack: Sequence[object], donors: str = "a: ./a, b: ./b", more: str = "") -> Path:
    """Write a spec file."""
    path.write_text(f"stacker: 1\nname: test\ndonors: {{{donors}}}\nstack: {json.dumps(stack)}\n{more}")
    return path


def parts(home: Path, *picks: tuple[str, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Columns of the table and rows of the projection for these layers, joined by torch."""
    tensors = {name: load_file(home / name / "model.safetensors") for name in "ab"}
    columns = [tensors[name][TABLE].chunk(DEPTH, 1)[layer] for name, layer in picks]
    rows = [tensors[name][PROJECTION].chunk(DEPTH, 0)[layer] for name, layer in picks]
    return torch.cat(columns, 1), torch.cat(rows)


def built(spec: Path) -> dict[str, torch.Tensor]:
    """Build a spec and load its tensors."""
    build(load(spec), spec.parent / "out")
    return load_file(spec.parent / "out" / "model.safetensors")


def test_tables_follow_the_layers(home: Path) -> None:
    """Each layer comes with its columns and rows, whichever donor the embedding is from."""
    found = built(write_spec(home / "s.yml", ["a[1:3]", "b[0:2]", "a[1]"]))
    table, projection = parts(home, ("a", 1), ("a", 2), ("b", 0), ("b", 1), ("a", 1))
    assert torch.equal(found[TABLE], table)
    assert torch.equal(found[PROJECTION], projection)


def test_a_whole_donor_s_tables_are_moved(home: Path) -> None:
    """When all layers are one donor's in order, its tables are copied whole."""
    steps = {step.tensor.name: step for step in load(write_spec(home / "s.yml", ["a"])).plan().steps}
    assert isinstance(steps[TABLE].expression, Copy)
    assert isinstance(steps[PROJECTION].expression, Copy)


def test_stacks_of_stacks(home: Path) -> None:
    """A layer of a nested stack comes with its part of the table, scaled as in the nested spec."""
    spec = write_spec(home / "s.yml", ["s[1:5]", "a[0]"], "s: {stack: inner.yml}, a: ./a")
    found = built(spec)
    table, projection = parts(home, ("a", 3), ("b", 0), ("b", 1), ("b", 3), ("a", 0))
    table[:, 3 * WIDTH : 4 * WIDTH] *= 0.5
    projection[3 * WIDTH : 4 * WIDTH] *= 0.5
    assert torch.equal(found[TABLE], table)
    assert torch.equal(found[PROJECTION], projection)


def test_a_blend_over_stacks(home: Path) -> None:
    """A layer's part of the table is blended with the layer, and cast with the whole table."""
    items = [{"blend": ["s[0:2]", "a[0:2]"], "op": "linear"}, "s[2]"]
    spec = write_spec(home / "s.yml", items, "s: {stack: inner.yml}, a: ./a", "output: {dtype: float32}\n")
    found = built(spec)
    first, second = parts(home, ("a", 2), ("a", 3), ("b", 0))[0].float(), parts(home, ("a", 0), ("a", 1))[0].float()
    first[:, : 2 * WIDTH] = 0.5 * first[:, : 2 * WIDTH] + 0.5 * second
    assert found[TABLE].dtype is torch.float32
    assert torch.equal(found[TABLE], first)


@pytest.mark.parametrize(("words", "refused"), [(range(ROWS), False), (range(ROWS)[::-1], True)], ids=["same", "other"])
def test_tables_by_token_keep_their_rows(words: Sequence[int], refused: bool, home: Path) -> None:
    """A tokenizer that would reorder the rows of a table by token and layer is refused."""
    write_tokenizer(home / "a", [f"w{number}" for number in range(ROWS)])
    write_tokenizer(home / "b", [f"w{number}" for number in words])
    stack = load(write_spec(home / "s.yml", ["a[0:2]", "b[2:4]"], more="tokenizer: {source: a}\n"))
    told = [problem.message for problem in select_errors(stack.problems)]
    assert any(f"cannot reorder {TABLE} of 'b'" in message for message in told) is refused


def test_a_table_that_does_not_go_round(home: Path) -> None:
    """A table whose width is not a multiple of the layers is a DonorError before anything is built."""
    tensors = load_file(home / "a" / "model.safetensors")
    save_file(tensors | {TABLE: torch.zeros(ROWS, 13)}, home / "a" / "model.safetensors")
    with pytest.raises(DonorError, match="no equal part for each of 4 layers"):
        load(write_spec(home / "s.yml", ["a"]))
