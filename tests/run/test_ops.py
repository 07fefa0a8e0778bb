"""Every op through the executor equals the op on the whole tensor, with any number of threads."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from stacker.core.plan.costs import TILE
from stacker.core.values.expression import Blend
from stacker.ops.shared.op import Base, Op
from stacker.ops.shared.settings import fill_defaults
from stacker.ops.table import OPS
from stacker.run.compute import rounds
from stacker.run.compute.device import DeviceScratch
from tests.ops.blending import blend
from tests.run.builds import Made, build, built, copy, make_plain_plan, random, write_plain_donor

SHAPE = (700, 1000)
OWN: dict[str, dict[str, Any]] = {"slerp": {"t": 0.3}, "nearswap": {"t": 0.1}, "sce": {"select_topk": 0.4}}
SOURCE: dict[str, Any] = {"density": 0.5, "weight": 0.7, "epsilon": 0.2, "gamma": 0.1}


def _values(op: Op) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    count = op.arity[1] or 2
    each = {parameter.name for parameter in op.parameters if parameter.per_source}
    given = {name: value for name, value in SOURCE.items() if name in each}
    own, sources = fill_defaults(op, OWN.get(op.name, {}), [given] * count)
    return {name: value for name, value in own.items() if name not in each}, [
        {name: value for name, value in values.items() if name in each} for values in sources
    ]


def _expression(op: Op, seed: str) -> Blend:
    own, each = _values(op)
    based = op.base is not Base.NONE
    sources = tuple(copy("x", name) for name in "abc"[: len(each)])
    pairs = tuple(tuple(sorted(values.items())) for values in each)
    return Blend(op.name, sources, tuple(sorted(own.items())), pairs, copy("x", "base") if based else None, seed)


def _on_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute blends with torch through staging memory, as on a GPU."""
    scratch = partial(DeviceScratch, torch.device("cpu"))
    monkeypatch.setattr(rounds, "choose_scratch", lambda _: scratch)


@pytest.mark.parametrize("op", OPS.values(), ids=lambda op: op.name)
def test_an_op_in_tiles(tmp_path: Path, op: Op, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors of several tiles are the same bytes with one thread and three, and equal the op on whole tensors.

    On a device the same to rounding.
    """
    tensors = {name: random(*SHAPE, seed=number) for number, name in enumerate(("a", "b", "base"))}
    assert SHAPE[0] * SHAPE[1] > TILE
    donors = {name: write_plain_donor(tmp_path / name, name, [{"x": x}]) for name, x in tensors.items()}
    made = {f"y{number}": Made(torch.bfloat16, SHAPE, _expression(op, f"y{number % 2}")) for number in range(4)}
    for workers in (1, 3):
        build(make_plain_plan(made), donors, tmp_path / f"out-{workers}", workers=workers)
    one, three = built(tmp_path / "out-1"), built(tmp_path / "out-3")
    assert all(one[name].equal(three[name]) for name in made)
    assert one["y0"].equal(one["y2"])
    own, each = _values(op)
    base = tensors["base"].float() if op.base is not Base.NONE else None
    whole = blend(
        op.name, [tensors[name].float() for name in "ab"[: len(each)]], base=base, each=each, name="y1", **own
    )
    differing = (one["y1"] != whole.bfloat16()).double().mean()
    assert float(differing) < 1e-3, "more than sums in another order explain"
    torch.testing.assert_close(one["y1"].float(), whole, rtol=2**-7, atol=1e-3)
    _on_device(monkeypatch)
    build(make_plain_plan(made), donors, tmp_path / "device", workers=2)
    for name, tensor in built(tmp_path / "device").items():
        assert float((tensor != one[name]).double().mean()) < 3e-3, "more than sums in another order explain"
        torch.testing.assert_close(tensor, one[name], rtol=2**-7, atol=1e-3)
