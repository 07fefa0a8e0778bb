"""Computed infinities and NaNs are reported by tensor, with the donor's tensor that they come from."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stacker.core.plan.task_making import make_tasks
from stacker.core.values.donor import Donor
from stacker.core.values.expression import Cast, Columns, Concat, Expression, Rows, Scale
from stacker.core.values.matrix_parts import RowRun
from stacker.errors import Severity
from stacker.io.output.destination import FolderDestination
from stacker.io.output.folder import open_output
from stacker.run import local
from stacker.run.compute.finiteness import describe_non_finite
from stacker.run.local import execute
from stacker.run.resume import check_earlier_work
from stacker.run.work.sources import OpenFiles
from stacker.tensors import Dtype, TensorRef
from tests.run.builds import Made, build, built, copy, linear, make_plain_plan, random, write_plain_donor

B16, F16 = torch.bfloat16, torch.float16


@pytest.fixture
def donors(tmp_path: Path) -> dict[str, Donor]:
    """The donor a has a tensor with a NaN in its last row, and one with numbers too large for fp16."""
    bad = random(4, 6, seed=1)
    bad[3, 5] = float("nan")
    tensors = {"good": random(4, 6, seed=0), "bad": bad, "large": torch.full((4, 6), 1e30, dtype=B16)}
    names = {"a": tensors, "b": {"good": random(4, 6, seed=2)}}
    return {name: write_plain_donor(tmp_path / name, name, [files]) for name, files in names.items()}


def _rows(*runs: RowRun) -> Rows:
    return Rows((copy("good", "b"), copy("bad")), 6, runs)


def _columns(start: int) -> Columns:
    return Columns(TensorRef("a", "bad"), 6, start, 3)


CAUSED = {
    "scaled": (B16, Scale(copy("bad"), 0.5)),
    "cast": (torch.float32, Cast(copy("bad"), Dtype.F32)),
    "blended": (B16, linear(copy("good", "b"), copy("bad"), weights=(1, 1))),
    "rows": (B16, _rows(RowRun(0, 0, 0, 3), RowRun(3, 1, 3, 1))),
    "columns": (B16, Concat((Scale(_columns(0), 2.0), Scale(_columns(3), 2.0)), (3, 3))),
}
OWN = {
    "cast": (F16, Cast(copy("large"), Dtype.F16)),
    "scaled": (B16, Scale(copy("large"), 1e30)),
}
HARMLESS = {
    "a copy": (B16, copy("bad")),
    "zeros": (B16, Scale(copy("bad"), 0.0)),
    "a weight of 0": (B16, linear(copy("good"), copy("bad"), weights=(1, 0))),
    "other rows": (B16, _rows(RowRun(0, 0, 0, 2), RowRun(2, 1, 0, 2, 0.5))),
    "other columns": (B16, Concat((Scale(_columns(0), 2.0), Columns(TensorRef("b", "good"), 6, 3, 3)), (3, 3))),
}


def _describe(case: tuple[torch.dtype, Expression], donors: dict[str, Donor], out: Path) -> str:
    """Build a stack of a finite tensor and of the case twice; returns the warning."""
    made = Made(case[0], (4, 6), case[1])
    plan = make_plain_plan({"fine": Made(B16, (4, 6), Scale(copy("good"), 0.5)), "one": made, "two": made})
    report = build(plan, donors, out)
    assert report.non_finite == ("one", "two")
    assert not torch.isfinite(built(out)["one"].float()).all()
    steps = [step for step in plan.steps if step.tensor.name in report.non_finite]
    with closing(OpenFiles()) as sources:
        problem = describe_non_finite(steps, make_tasks(plan, donors), sources)
    assert problem.severity is Severity.WARNING
    return problem.message


@pytest.mark.parametrize("case", CAUSED.values(), ids=CAUSED)
def test_a_donor_with_nans_is_named(
    tmp_path: Path, donors: dict[str, Donor], case: tuple[torch.dtype, Expression]
) -> None:
    """Of the donors' tensors, the one with the NaN is named."""
    assert _describe(case, donors, tmp_path / "out") == (
        "tensor 'one' and 1 more got values that are infinite or not a number; "
        "tensor 'bad' of donor 'a' already has such values"
    )


@pytest.mark.parametrize("case", OWN.values(), ids=OWN)
def test_results_out_of_range_are_told_apart(
    tmp_path: Path, donors: dict[str, Donor], case: tuple[torch.dtype, Expression]
) -> None:
    """Results too large for the output dtype are not blamed on a donor."""
    assert "the donors' values are finite, but the results" in _describe(case, donors, tmp_path / "out")


@pytest.mark.parametrize("case", HARMLESS.values(), ids=HARMLESS)
def test_nothing_else_is_reported(
    tmp_path: Path, donors: dict[str, Donor], case: tuple[torch.dtype, Expression]
) -> None:
    """Copied bytes are not judged, and a NaN that does not reach the result does not matter."""
    assert build(make_plain_plan({"one": Made(case[0], (4, 6), case[1])}), donors, tmp_path / "out").non_finite == ()


def test_values_of_an_interrupted_build_count(
    tmp_path: Path, donors: dict[str, Donor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tensor that an interrupted build has computed is found when the next build checks what is there."""
    made = Made(B16, (4, 6), Scale(copy("bad"), 0.5))
    plan = make_plain_plan({"one": made, "two": replace(made, expression=Scale(copy("good"), 0.5))})
    tasks, do, left = make_tasks(plan, donors), local._do, iter(range(1))

    def interrupt(*words: object) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        do(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(local, "_do", interrupt)
    with (
        pytest.raises(KeyboardInterrupt),
        open_output(FolderDestination(tmp_path / "out"), plan, {}, force=False, restart=False) as output,
    ):
        execute(plan, tasks, output, workers=1)
    monkeypatch.undo()
    with open_output(FolderDestination(tmp_path / "out"), plan, {}, force=False, restart=False) as output:
        assert check_earlier_work(plan, tasks, output).non_finite == ("one",)
        assert execute(plan, tasks, output).non_finite == ()
