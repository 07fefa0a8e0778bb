"""Ops against the results of mergekit 0.1.5 for the same tensors, as recorded by `tools.goldens`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from stacker.ops.table import OPS
from stacker.spec.mergekit.methods import METHODS
from tests.ops.blending import blend

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "ops" / "mergekit.json").read_text(encoding="utf-8"))
INPUTS = [torch.tensor(values).view(GOLDEN["shape"]) for values in GOLDEN["inputs"]]
CASES: list[dict[str, Any]] = GOLDEN["cases"]
SETTLED = [case for case in CASES if not case["random"]]
DRAWN = [case for case in CASES if case["random"]]


def _name(case: dict[str, Any]) -> str:
    return " ".join([case["op"], *(f"{key}={value}" for key, value in case["parameters"].items())])


def _ours(case: dict[str, Any], **more: Any) -> torch.Tensor:
    sources, given = INPUTS[: case["sources"]], case["parameters"]
    each = [{key: value[at] for key, value in given.items() if isinstance(value, list)} for at in range(len(sources))]
    own = {key: value for key, value in given.items() if not isinstance(value, list)}
    return blend(case["op"], sources, base=INPUTS[-1] if case["base"] else None, each=each, tile=36, **own, **more)


@pytest.mark.parametrize("case", SETTLED, ids=_name)
def test_what_draws_nothing_is_the_same(case: dict[str, Any]) -> None:
    """To a hundred-thousandth."""
    wanted = torch.tensor(case["result"]).view(GOLDEN["shape"])
    torch.testing.assert_close(_ours(case), wanted, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("case", DRAWN, ids=_name)
def test_what_draws_comes_to_the_same(case: dict[str, Any]) -> None:
    """Over many draws, the kept fraction and the mean and variance of the result agree."""
    found = torch.stack([_ours(case, seed=seed) - INPUTS[-1] for seed in range(GOLDEN["draws"])]).double()
    share, mean, variance = case["result"]
    assert float((found != 0).double().mean()) == pytest.approx(share, abs=0.01)
    assert float(found.mean()) == pytest.approx(mean, abs=0.02)
    assert float(found.var()) == pytest.approx(variance, rel=0.05)


def test_every_method_is_compared() -> None:
    """The goldens cover exactly the mergekit methods that are ops here."""
    assert {case["op"] for case in CASES} == {method.op for method in METHODS.values() if method.op} <= OPS.keys()
