"""Stacks of every family load in transformers and compute what the same layers compute rearranged in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from transformers import PreTrainedModel

from stacker.arch.families import find_architecture, list_families, read_architecture
from stacker.arch.placement import list_expected_tensors
from stacker.compose import Stack, build
from stacker.compose import load as load_stack
from stacker.errors import Severity, SpecError
from tests.families.cases import FULL, FURTHER, KNOWN, REFUSED, SLIDING, Case, Pick
from tests.families.older import OLDER
from tests.families.oracle import greedy_tokens, load, logits_of, rearranged, write_donor
from tests.families.stacks import BLEND, BLENDED, STACKS
from tests.families.tiny import decoder_families, larger_case, tiny_case

CASES = KNOWN | FURTHER | OLDER
DESCRIBED = {name: case for name, case in CASES.items() if not case.inferred and name not in OLDER}
TINY = sorted(set(list_families()) - {case.model_type for case in DESCRIBED.values()})
"""Families that are tested by the table only."""


@pytest.fixture(scope="module", params=list(CASES.values()), ids=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    """A case: a family in one of its styles."""
    found: Case = request.param
    return found


@pytest.fixture(scope="module")
def home(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two donors of the family."""
    folder = tmp_path_factory.mktemp("donors")
    for seed, name in enumerate("ab"):
        write_donor(case, folder / name, seed)
    return folder


@pytest.fixture(scope="module")
def models(case: Case, home: Path) -> dict[str, PreTrainedModel]:
    """The donors as transformers loads them."""
    return {name: load(home / name, case.auto) for name in "ab"}


def stack_of(home: Path, items: list[Any]) -> Stack:
    """The stack of a spec over the two donors."""
    spec = home / "spec.yml"
    spec.write_text(f"stacker: 1\nname: test\ndonors: {{a: ./a, b: ./b}}\nstack: {json.dumps(items)}\n")
    return load_stack(spec)


@pytest.mark.parametrize(("items", "picks"), STACKS.values(), ids=STACKS.keys())
def test_stack_computes_what_its_layers_compute(
    case: Case, home: Path, models: dict[str, PreTrainedModel], items: list[Any], picks: list[Pick], tmp_path: Path
) -> None:
    """Logits and greedy tokens of the written stack equal those of its layers rearranged in memory, bit for bit."""
    build(stack_of(home, items), tmp_path / "out")
    stack, expected = load(tmp_path / "out", case.auto), rearranged(case, models, picks)
    assert torch.equal(logits_of(stack), logits_of(expected))
    assert greedy_tokens(stack) == greedy_tokens(expected)


def test_blend_computes_what_the_mean_layers_compute(
    case: Case, home: Path, models: dict[str, PreTrainedModel], tmp_path: Path
) -> None:
    """Two layers blended with equal weights compute the same as their mean."""
    build(stack_of(home, BLEND), tmp_path / "out")
    expected = rearranged(case, models, *BLENDED)
    stack = load(tmp_path / "out", case.auto)
    assert torch.equal(logits_of(stack), logits_of(expected))
    assert greedy_tokens(stack) == greedy_tokens(expected)


def test_nothing_is_wrong_with_two_like_donors(home: Path) -> None:
    """Donors that differ only in their weights cause no warning."""
    problems = [each for each in stack_of(home, STACKS["cross"][0]).problems if each.severity is not Severity.NOTE]
    assert problems == []


def test_inference_is_said(case: Case, home: Path) -> None:
    """A family without a file is inferred, with a note."""
    family = stack_of(home, STACKS["prune"][0]).donors["a"].architecture
    assert family.inferred is case.inferred
    assert not case.inferred or family.notes


@pytest.mark.parametrize("name", [*DESCRIBED, *TINY])
def test_config_promises_the_tensors_that_transformers_saves(name: str, tmp_path: Path) -> None:
    """The names and shapes of a known family's tensors follow from config.json alone."""
    promised, saved = promised_and_saved(DESCRIBED.get(name) or tiny_case(name), tmp_path)
    assert promised == saved


@pytest.mark.parametrize("name", sorted(set(list_families()) & set(decoder_families())))
def test_sizes_are_formulas(name: str, tmp_path: Path) -> None:
    """The expected tensors are right for a model with all sizes changed, too."""
    promised, saved = promised_and_saved(larger_case(name), tmp_path)
    assert promised == saved


def promised_and_saved(case: Case, folder: Path) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """The shapes of a family's tensors by its file, and by what transformers saves."""
    home = write_donor(case, folder / "a", 0)
    config = json.loads((home / "config.json").read_text())
    family = find_architecture(config)
    assert family is not None
    promised = {case.rename(spec.name): list(spec.shape) for spec in list_expected_tensors(family, config)}
    with safe_open(home / "model.safetensors", "pt") as file:
        saved = {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118  # safe_open is no mapping
    return promised, saved


@pytest.mark.parametrize(
    "name", [name for name, case in CASES.items() if SLIDING in case.config.get("layer_types", ())]
)
def test_layer_types_matter(name: str, tmp_path: Path) -> None:
    """Exchanging the kinds of attention changes the logits, so these tests detect a wrong list."""
    write_donor(CASES[name], tmp_path / "a", 0)
    logits = logits_of(load(tmp_path / "a"))
    path = tmp_path / "a" / "config.json"
    config = json.loads(path.read_text())
    config["layer_types"] = [{FULL: SLIDING, SLIDING: FULL}[kind] for kind in config["layer_types"]]
    path.write_text(json.dumps(config))
    assert not torch.equal(logits, logits_of(load(tmp_path / "a")))


def test_every_family_file_is_held_against_transformers() -> None:
    """Every described family is tested, by a case or in the table."""
    tried = {case.model_type for case in DESCRIBED.values()} | set(decoder_families())
    assert {name for name in list_families() if not tried & set(read_architecture(name).model_types)} == set()


@pytest.mark.parametrize(("case", "items", "reason", "hint"), REFUSED.values(), ids=REFUSED.keys())
def test_what_no_config_can_say_is_refused(
    case: Case, items: list[Any], reason: str, hint: str, tmp_path: Path
) -> None:
    """A stack that transformers could not rebuild from any config is refused before anything is written."""
    for seed, name in enumerate("ab"):
        write_donor(case, tmp_path / name, seed)
    with pytest.raises(SpecError) as caught:
        build(stack_of(tmp_path, items), tmp_path / "out")
    assert any(reason in problem.message and hint in problem.hint for problem in caught.value.problems)
    assert not (tmp_path / "out").exists()
