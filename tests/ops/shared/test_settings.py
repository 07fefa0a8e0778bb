"""Checks of the values that a spec sets for an op, and the defaults of those it leaves out."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from stacker.errors import Severity
from stacker.ops.shared.op import Base, Kernel, Op, OpParameter, Value, Values
from stacker.ops.shared.settings import check_blend, check_setting, fill_defaults, find_role_defaults
from stacker.ops.table import OPS


def _unused(own: Values, each: Sequence[Values]) -> Kernel:
    raise AssertionError(f"nothing is computed here: {own}, {each}")


FULL = Op(
    "full", "every kind of parameter", "", "", (2, 3),
    (
        OpParameter("density", float, 1.0, "how much stays", low=0.0, high=1.0, per_source=True),
        OpParameter("iterations", int, 10, "how often", low=1),
        OpParameter("flat", bool, True, "whether flat"),
        OpParameter("weight", float, None, "how much", per_source=True),
    ),
    make=_unused,
    base=Base.REQUIRED,
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("densty", 0.5, "has no parameter 'densty'"),
        ("density", 1.5, "must be from 0 to 1, not 1.5"),
        ("density", "much", "must be a number, not 'much'"),
        ("density", True, "must be a number, not true"),
        ("density", float("nan"), "must be a number, not nan"),
        ("iterations", 1.5, "must be a whole number, not 1.5"),
        ("iterations", 0.0, "must be at least 1, not 0"),
        ("flat", 1.0, "must be true or false, not 1"),
    ],
    ids=lambda value: str(value),
)
def test_a_wrong_value_is_named(name: str, value: Value, message: str) -> None:
    """Unknown names, wrong kinds and values out of range are errors."""
    (problem,) = check_setting(FULL, name, value, of_source=False)
    assert message in problem.message
    assert problem.severity is Severity.ERROR


@pytest.mark.parametrize(
    ("name", "value"),
    [("density", 0.0), ("density", 1.0), ("iterations", 3.0), ("flat", False), ("weight", -4.0)],
    ids=lambda value: str(value),
)
def test_a_right_value_passes(name: str, value: Value) -> None:
    """Bounds are inclusive; a whole number may be written as a float."""
    assert not list(check_setting(FULL, name, value, of_source=False))


def test_a_misspelt_parameter_gets_a_suggestion() -> None:
    """The hint names the closest parameter."""
    (problem,) = check_setting(FULL, "wieght", 1.0, of_source=True)
    assert problem.hint == "did you mean 'weight'?"


def test_a_parameter_of_the_blend_does_not_fit_a_source() -> None:
    """A parameter of the blend cannot be set on a source."""
    (problem,) = check_setting(OPS["slerp"], "t", 0.5, of_source=True)
    assert "belongs to the blend" in problem.message


@pytest.mark.parametrize("t", [-0.1, 1.1])
def test_extrapolation_is_a_warning(t: float) -> None:
    """t outside [0, 1] extrapolates, which is a warning."""
    (problem,) = check_setting(OPS["slerp"], "t", t, of_source=False)
    assert problem.severity is Severity.WARNING


@pytest.mark.parametrize(
    ("op", "sources", "message"),
    [
        ("slerp", 1, "takes 2 sources, not 1"),
        ("slerp", 3, "takes 2 sources, not 3"),
        ("passthrough", 2, "takes 1 source, not 2"),
        ("linear", 0, "takes at least 1 source, not 0"),
    ],
    ids=str,
)
def test_a_wrong_number_of_sources_is_named(op: str, sources: int, message: str) -> None:
    """Each op says how many sources it takes."""
    problems = list(check_blend(OPS[op], {"t": 0.5}, [{}] * sources, has_base=False))
    assert message in problems[0].message


def test_everything_missing_is_named_at_once() -> None:
    """Too many sources, no base and no weight are three problems of one blend."""
    problems = list(check_blend(FULL, {}, [{}] * 4, has_base=False))
    assert [problem.message.split(":")[0] for problem in problems] == [
        "op 'full' takes 2 to 3 sources, not 4",
        "op 'full' needs a base",
        "op 'full' needs 'weight'",
    ]


def test_a_source_comes_before_the_blend_and_the_blend_before_the_default() -> None:
    """A source's own value comes first, then the blend's, then the op's default."""
    own, each = fill_defaults(FULL, {"weight": 2.0}, [{"weight": 3.0}, {"density": 0.5}])
    assert own == {"density": 1.0, "iterations": 10, "flat": True, "weight": 2.0}
    assert [dict(values) for values in each] == [{"density": 1.0, "weight": 3.0}, {"density": 0.5, "weight": 2.0}]


@pytest.mark.parametrize(
    ("role", "scale"),
    [("attn.o", 0.0), ("attn.o.bias", 0.0), ("mlp.down.expert", 0.0), ("attn.q", None), ("mlp.down_other", None)],
)
def test_a_role_may_have_a_default_of_its_own(role: str, scale: float | None) -> None:
    """`zero` sets only the tensors that write to the residual stream to 0."""
    assert find_role_defaults(OPS["zero"], role).get("scale") == scale
