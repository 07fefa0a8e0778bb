"""Ops as tables and as JSON."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from stacker.ops.shared.op import Op
from stacker.ops.table import OPS
from stacker.view.tables.ops import draw_op, draw_ops, op_json


def _shown(op: Op) -> str:
    console = Console(width=400, record=True, file=io.StringIO())
    console.print(draw_op(op))
    return console.export_text()


@pytest.mark.parametrize("op", OPS.values(), ids=lambda op: op.name)
def test_an_op_in_full(op: Op) -> None:
    """Formula, source, number of sources, base, passes, and every parameter with its bounds."""
    text = _shown(op)
    for said in (op.name, op.summary, op.formula, op.source, "weights alone, no data", "reads them"):
        assert said in text
    assert ("base" in text.split("weights alone")[0]) or op.base == "none"
    for parameter in op.parameters:
        (line,) = (line for line in text.splitlines() if line.startswith(f"{parameter.name} "))
        assert parameter.meaning in line
        assert ("required" if parameter.default is None else str(parameter.default).lower()) in line
        for bound in (parameter.low, parameter.high):
            assert bound is None or f"{bound:g}" in line
    assert op.parameters or "no parameters" in text


@pytest.mark.parametrize("op", OPS.values(), ids=lambda op: op.name)
def test_an_op_in_json(op: Op) -> None:
    """JSON has the same parameters."""
    said = json.loads(json.dumps(op_json(op)))
    assert said["data_free"] is True
    assert 1 <= said["readings"][0] <= said["readings"][1]
    assert [each["name"] for each in said["parameters"]] == [parameter.name for parameter in op.parameters]


@pytest.mark.parametrize(
    ("name", "readings"), [("linear", (1, 1)), ("slerp", (2, 2)), ("dare_ties", (1, 2)), ("model_stock", (1, 2))]
)
def test_how_often_an_op_reads(name: str, readings: tuple[int, int]) -> None:
    """Angles need a pass of their own; random drops need one more to restore magnitudes."""
    assert tuple(op_json(OPS[name])["readings"]) == readings


def test_the_table_has_every_op() -> None:
    """One row each."""
    assert draw_ops(OPS.values()).row_count == len(OPS)
