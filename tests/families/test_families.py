"""Stacks of every family load in transformers and compute what the same layers compute rearranged in memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from stacker.core.donor import Donor
from tests.families.cases import INFERRED, KNOWN, Case, Pick
from tests.families.oracle import greedy_tokens, load, logits_of, rearranged, write_donor
from tests.families.written import Weights, read_donor, write_stack

CASES = KNOWN | INFERRED


def _layers(donor: str, start: int, stop: int) -> list[Pick]:
    return [(donor, layer) for layer in range(start, stop)]


STACKS: dict[str, list[Pick]] = {
    "self": _layers("a", 0, 4) + _layers("a", 2, 6),
    "cross": _layers("a", 0, 3) + _layers("b", 2, 5) + _layers("a", 4, 6),
    "prune": _layers("a", 0, 2) + _layers("a", 4, 6),
    "ends": _layers("a", 0, 3) + _layers("b", 3, 6),
}


@pytest.fixture(scope="module", params=CASES.values(), ids=CASES.keys())
def case(request: pytest.FixtureRequest) -> Case:
    """A family in one of its styles."""
    return request.param


@pytest.fixture(scope="module")
def folders(case: Case, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two donors of the family on disk."""
    home = tmp_path_factory.mktemp("donors")
    return {name: write_donor(case, home / name, seed) for seed, name in enumerate("ab")}


@pytest.fixture(scope="module")
def models(folders: dict[str, Path]) -> dict[str, PreTrainedModel]:
    """The donors as transformers loads them."""
    return {name: load(folder) for name, folder in folders.items()}


@pytest.fixture(scope="module")
def donors(folders: dict[str, Path]) -> dict[str, tuple[Donor, Weights]]:
    """The donors as stacker reads them."""
    return {name: read_donor(name, folder) for name, folder in folders.items()}


@pytest.mark.parametrize("picks", STACKS.values(), ids=STACKS.keys())
def test_stack_computes_what_its_layers_compute(
    case: Case,
    models: dict[str, PreTrainedModel],
    donors: dict[str, tuple[Donor, Weights]],
    picks: list[Pick],
    tmp_path: Path,
) -> None:
    """Logits and greedy tokens of the written stack equal those of its layers rearranged in memory, bit for bit."""
    problems = write_stack(donors, picks, tmp_path / "out")
    assert not problems
    stack, expected = load(tmp_path / "out"), rearranged(case, models, picks)
    assert torch.equal(logits_of(stack), logits_of(expected))
    assert greedy_tokens(stack) == greedy_tokens(expected)


def test_inference_is_said(case: Case, donors: dict[str, tuple[Donor, Weights]]) -> None:
    """A family without a file is inferred, and says so."""
    assert donors["a"][0].architecture.inferred is case.inferred
