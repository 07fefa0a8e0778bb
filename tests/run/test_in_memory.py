"""Tensors computed in memory have the bytes that a build writes."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
from safetensors import safe_open

from stacker.compose import load
from stacker.core.plan.task_making import locate_tensors
from stacker.core.values.donor import collect_donors
from stacker.errors import DonorError
from stacker.run.in_memory import Target, fill_targets
from stacker.run.work.sources import OpenFiles
from tests.donors import write_llama

ITEMS = [
    "a[0:2]",
    {"slice": "a[2:4]", "scale": {"attn.o": 0.5, "mlp.down": 0}},
    {"blend": ["a[4:6]", "b[4:6]"], "op": "slerp", "t": 0.3},
    {"blend": ["a[0:2]", "b[0:2]"], "op": "ties", "base": "a[2:4]", "density": 0.5},
]


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """A spec that copies, scales, blends and leaves zeros, in another type."""
    for seed, name in enumerate("ab"):
        write_llama(tmp_path / name, seed=seed)
    entries = {"stacker": 1, "donors": {"a": "./a", "b": "./b"}, "stack": ITEMS, "output": {"dtype": "float16"}}
    (tmp_path / "spec.yml").write_text(json.dumps(entries))
    return tmp_path / "spec.yml"


@pytest.mark.parametrize("workers", [1, 3])
def test_bytes_are_those_of_a_build(spec: Path, tmp_path: Path, workers: int) -> None:
    """Every tensor equals the one in the written file; memory that was used before is overwritten."""
    stack = load(spec)
    plan, known = stack.plan(), collect_donors(stack.donors)
    targets = [Target(step, memoryview(bytearray(b"\xff" * step.tensor.nbytes))) for step in plan.steps]
    seen: list[tuple[int, int]] = []
    with closing(OpenFiles()) as sources:
        report = fill_targets(
            targets,
            locate_tensors(plan.steps, known),
            sources,
            workers=workers,
            watch=lambda done, total: seen.append((done, total)),
        )
    stack.build(tmp_path / "out")
    with safe_open(tmp_path / "out" / "model.safetensors", "np") as file:
        for target in targets:
            assert file.get_tensor(target.step.tensor.name).tobytes() == bytes(target.memory), target.step.tensor.name
    assert report.computed > 0
    assert all(total == plan.total_size for _, total in seen)


def test_errors_name_the_tensor(spec: Path, tmp_path: Path) -> None:
    """A donor's file that changed is an error with the name of the tensor that needed it."""
    stack = load(spec)
    plan, known = stack.plan(), collect_donors(stack.donors)
    places = locate_tensors(plan.steps, known)
    (tmp_path / "a" / "model.safetensors").write_bytes(b"")
    step = plan.steps[0]
    with closing(OpenFiles()) as sources, pytest.raises(DonorError, match=r"tensor 'model\.embed_tokens\.weight': "):
        fill_targets([Target(step, memoryview(bytearray(step.tensor.nbytes)))], places, sources)
