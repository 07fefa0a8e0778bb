"""The texts of a plan and of a finished build."""

from __future__ import annotations

from pathlib import Path, PurePath

import pytest

from stacker.compose import load_text
from stacker.core.plan.plan import Plan, Report
from stacker.view.stack.plan_report import draw_plan, report_text
from tests.donors import write_llama
from tests.view.scenes import printed


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """The plan of the first two of twelve layers."""
    write_llama(tmp_path / "a", layers=12)
    return load_text(b"stacker: 1\ndonors: {a: ./a}\nstack: ['a[0:2]']", tmp_path / "spec.yml").plan()


def test_unused_layers_are_listed_in_their_order(plan: Plan) -> None:
    """Layer 9 comes before layer 10, as in the donor and not as in the alphabet."""
    lines = printed(draw_plan(plan), 80, "plain").splitlines()
    layers = [int(line.split("layer ")[1].split()[0]) for line in lines if "is in no slice" in line]
    assert layers == list(range(2, 12))


def test_a_report_counts_what_was_there(plan: Plan) -> None:
    """After an interruption, the bytes of both runs are named; otherwise there is no word of an interruption."""
    resumed = Report(copied=3_000_000, kept=5_000_000, seconds=1.5)
    assert "3.0 MB copied" in str(report_text(plan, resumed, PurePath("out")))
    assert "5.0 MB were there from the interrupted build" in str(report_text(plan, resumed, PurePath("out")))
    assert "interrupted" not in str(report_text(plan, Report(copied=8_000_000, seconds=1.5), PurePath("out")))
