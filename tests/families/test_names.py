"""Families whose tensors have two sets of names: as published, and as transformers holds them in memory."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors import safe_open

from stacker.arch.completeness import resolve_expected_tensors
from stacker.arch.families import list_families, read_architecture
from tests.families.cases import Names
from tests.families.oracle import write_donor
from tests.families.tiny import decoder_families, tiny_case

TWICE_NAMED = [name for name in list_families() if any(tensor.optional for tensor in read_architecture(name).tensors)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("names", Names, ids=[names.value for names in Names])
@pytest.mark.parametrize("name", [name for name in TWICE_NAMED if name in decoder_families()])
def test_both_sets_of_names_are_known(name: str, names: Names, tmp_path: Path) -> None:
    """With either set of names, a donor has the tensors that its family expects."""
    folder = write_donor(replace(tiny_case(name), names=names), tmp_path / "a", 0)
    config = json.loads((folder / "config.json").read_text())
    with safe_open(folder / "model.safetensors", "pt") as file:
        saved = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118  # no mapping
    promised = resolve_expected_tensors(read_architecture(name), config, saved)
    assert {name: spec.shape for name, spec in promised.items()} == saved
