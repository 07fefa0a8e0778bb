"""Drafts of family files: size formulas, differences from a relative, and no guess where nothing fits."""

from __future__ import annotations

import pytest

from stacker.arch.families import read_architecture, read_packaged_text
from stacker.arch.files.parser import parse_architecture
from tools.derive.__main__ import draft
from tools.derive.sizes import find_formula

SAMPLES = [{"hidden": 32, "heads": 4, "head_dim": 8, "a": 5}, {"hidden": 64, "heads": 8, "head_dim": 16, "a": 7}]


@pytest.mark.parametrize(
    ("sizes", "first", "formula"),
    [
        ((32, 64), "", "hidden"),
        ((32, 128), "", "heads * head_dim"),
        ((32, 128), "head_dim * heads", "head_dim * heads"),
        ((5, 7), "hidden", "a"),
        ((1, 1), "", "1"),
        ((3, 3), "", "3"),
        ((74, 142), "", "2 * hidden + 2 * a"),
        ((17, 19), "", None),
    ],
)
def test_formula_fits_every_sample(sizes: tuple[int, int], first: str, formula: str | None) -> None:
    """A size becomes a formula that holds in all samples, preferably the relative's own."""
    assert find_formula(sizes, SAMPLES, first) == formula


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "like"), [("gemma", "llama"), ("glm", "llama"), ("bloom", ""), ("granite_swa", "granite")]
)
def test_draft_is_the_family_s_file(name: str, like: str) -> None:
    """A draft from the installed transformers describes the same tensors as the packaged file."""
    drafted, shipped = parse_architecture(draft(name, like), name, read_packaged_text), read_architecture(name)
    assert {tensor.name: tensor for tensor in drafted.tensors} == {tensor.name: tensor for tensor in shipped.tensors}
