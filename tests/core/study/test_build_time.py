"""The predicted build time: what is counted as work, and what is learned from builds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from stacker.compose import load_text
from stacker.core.plan.plan import Report
from stacker.core.study.build_time import (
    DEFAULT_SPEEDS,
    KINDS,
    LIMITS,
    SCALE,
    Origin,
    Speeds,
    Work,
    count_work,
    learn,
    predict_seconds,
)
from stacker.ops.table import OPS
from tests.donors import write_llama

COPIES = Work(10_000_000_000, 0, {})
TIES = Work(0, 2_000_000_000, {"ties": 15_000_000_000})


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with three donors."""
    for seed, name in enumerate("abc"):
        write_llama(tmp_path / name, layers=2, seed=seed)
    return tmp_path


def work_of(home: Path, stack: str) -> Work:
    """The work of building a stack of the donors."""
    text = f"stacker: 1\ndonors: {{a: ./a, b: ./b, c: ./c}}\nbase: c\nstack: [{stack}]\n"
    return count_work(load_text(text.encode(), home / "spec.yml").plan())


def layer_elements(home: Path) -> int:
    """The number of elements of both layers."""
    plan = load_text(b"stacker: 1\ndonors: {a: ./a}\nstack: [a]\n", home / "spec.yml").plan()
    return sum(step.tensor.elements for step in plan.steps if ".layers." in step.tensor.name)


def test_copies_are_no_arithmetic(home: Path) -> None:
    """All bytes of a passthrough are moved."""
    work = work_of(home, "a")
    assert (work.computed, work.elements) == (0, {})
    assert work.moved > 0


@pytest.mark.parametrize(
    ("blend", "op", "reads"),
    [
        pytest.param("blend: [a, b], op: linear", "linear", 2, id="no pass"),
        pytest.param("blend: [a, b], op: slerp, t: 0.5", "slerp", 2 * 2, id="one pass"),
        pytest.param("blend: [a, b], op: ties, density: 0.5", "ties", 3 * 4, id="three passes and a base"),
        pytest.param("blend: [a, b], op: ties", "ties", 3, id="nothing to rank"),
    ],
)
def test_passes_are_counted(home: Path, blend: str, op: str, reads: int) -> None:
    """Each element of each source counts once for every pass over it, and once for the result."""
    assert work_of(home, f"{{{blend}}}").elements == {op: reads * layer_elements(home)}


def test_zeros_are_no_work(home: Path) -> None:
    """Tensors multiplied by 0 are holes: they are neither written nor computed."""
    work = work_of(home, "{slice: a, scale: {attn.o: 0, mlp.down: 0}}")
    assert (work.computed, work.elements) == (0, {})


def test_factors_are_work(home: Path) -> None:
    """A scaled tensor is read and computed once."""
    work = work_of(home, "{slice: a, scale: {mlp.down: 0.5}}")
    assert {*work.elements} == {SCALE}
    assert work.computed == 2 * work.elements[SCALE]


def test_arithmetic_takes_time() -> None:
    """Copies take the time of writing; an op that is slower than the disk takes the time of its arithmetic."""
    slow = Speeds(1e9, {"ties": 1e9})
    assert predict_seconds(COPIES, slow) == pytest.approx(10, abs=0.5)
    assert predict_seconds(TIES, slow) == pytest.approx(15, abs=1.5)
    assert predict_seconds(TIES, replace(slow, arithmetic={"ties": 1e12})) == pytest.approx(2, abs=1.5)


def test_every_op_has_a_default() -> None:
    """No op that computes is left to the speed of SCALE by an oversight."""
    assert {*OPS} - {*DEFAULT_SPEEDS.arithmetic} == {"passthrough", "zero"}
    assert {*DEFAULT_SPEEDS.arithmetic} <= KINDS


@pytest.mark.parametrize("work", [COPIES, TIES], ids=["copies", "ties"])
@pytest.mark.parametrize("seconds", [3.0, 30.0], ids=["fast machine", "slow machine"])
def test_builds_teach(work: Work, seconds: float) -> None:
    """After some builds that take the same time, the prediction is within a tenth of it."""
    speeds = DEFAULT_SPEEDS
    for _ in range(6):
        speeds = learn(speeds, work, Report(copied=work.moved, computed=work.computed, seconds=seconds))
    assert predict_seconds(work, speeds) == pytest.approx(seconds, rel=0.2)
    assert speeds.origin is Origin.BUILDS


@pytest.mark.parametrize(
    "report",
    [
        pytest.param(Report(copied=10, seconds=0.2), id="short"),
        pytest.param(Report(kept=5, seconds=60), id="continued"),
        pytest.param(Report(cloned=5, seconds=60), id="cloned"),
    ],
)
def test_some_builds_teach_nothing(report: Report) -> None:
    """Times of builds that did not do all of their work, or hardly any, are ignored."""
    assert learn(DEFAULT_SPEEDS, COPIES, report) == DEFAULT_SPEEDS


def test_one_build_changes_little() -> None:
    """A build on a machine that slept for an hour does not ruin what was measured; speeds stay within limits."""
    measured = replace(DEFAULT_SPEEDS, origin=Origin.MEASURED)
    learned = learn(measured, TIES, Report(computed=1, seconds=3600))
    assert measured.of("ties") / 3 < learned.of("ties") < measured.of("ties")
    assert learned.origin is Origin.MEASURED
    for _ in range(100):
        learned = learn(learned, TIES, Report(computed=1, seconds=1e9))
    assert learned.of("ties") >= LIMITS[0]
