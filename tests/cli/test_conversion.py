"""Parts of names for roles."""

from __future__ import annotations

from pathlib import Path

import pytest

from stacker.cli.conversion import find_role_names
from stacker.io.donors.reader import read_donor
from stacker.spec.language.stack_spec import DonorSpec
from tests.donors import write_llama


@pytest.mark.parametrize(
    ("role", "parts"),
    [
        ("attn", {"self_attn"}),
        ("attn.o", {"o_proj"}),
        ("mlp", {"mlp"}),
        ("norm.input", {"input_layernorm"}),
        ("norm", {"norm"}),
        ("embed", {"embed_tokens"}),
        ("head", {"lm_head"}),
    ],
)
def test_a_llama_s_roles(tmp_path: Path, role: str, parts: set[str]) -> None:
    """The words that people use in their filters, each selecting the role's tensors alone."""
    donor = read_donor(DonorSpec("a", str(write_llama(tmp_path / "a"))), tmp_path)
    names = find_role_names([donor])
    chosen = {n for n, t in donor.tensors.items() if t.role == role or t.role.startswith(f"{role}.")}
    assert {name for name in donor.tensors if any(part in name for part in names[role])} == chosen
    assert set(names[role]) == parts
