"""Requirements on every op in the table."""

from __future__ import annotations

import subprocess
import sys

import pytest

from stacker.ops.shared.op import Op
from stacker.ops.table import OPS


def test_looking_at_ops_does_not_import_torch() -> None:
    """Reading the table must not import torch, which takes seconds."""
    code = "import sys; from stacker.ops.table import OPS; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("op", OPS.values(), ids=lambda op: op.name)
def test_a_row_explains_itself(op: Op) -> None:
    """Summary, formula and source are given, and each parameter has a meaning."""
    assert op.summary
    assert op.formula
    assert op.source
    assert all(parameter.meaning for parameter in op.parameters)


@pytest.mark.parametrize("op", OPS.values(), ids=lambda op: op.name)
def test_the_ramp_is_a_parameter(op: Op) -> None:
    """The parameter that a crossfade varies is a declared parameter."""
    assert not op.ramp or op.parameter(op.ramp)
