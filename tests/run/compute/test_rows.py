"""Tables joined from columns, copied or computed, whatever the size of the pieces."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from stacker.core.plan.plan import Plan
from stacker.core.plan.task_making import make_tasks
from stacker.core.plan.tasks import Compute, CopyColumns, CopyRun
from stacker.core.values.columns import take_columns
from stacker.core.values.donor import Donor
from stacker.core.values.expression import Blend, Cast, Columns, Concat, Expression, Scale
from stacker.run.compute import rows as strands
from stacker.run.verify import compare
from stacker.tensors import Dtype, TensorRef
from tests.run.builds import Made, build, built, copy, linear, make_plain_plan, random, slerp, write_plain_donor

ROWS, WIDTH = 70, 4
"""Rows of a table, and columns of each of its five layers."""


@pytest.fixture
def donors(tmp_path: Path) -> dict[str, Donor]:
    """Two donors with a table that has columns for each of five layers."""
    return {
        name: write_plain_donor(tmp_path / name, name, [{"t": random(ROWS, 5 * WIDTH, seed=seed)}])
        for seed, name in enumerate("ab")
    }


def part(donor: str, layer: int, layers: int = 1) -> Columns:
    """The columns of some layers of a donor's table."""
    found = take_columns(copy("t", donor), 5 * WIDTH, layer * WIDTH, layers * WIDTH)
    assert isinstance(found, Columns)
    return found


def table(*parts: Expression, dtype: torch.dtype = torch.bfloat16) -> Plan:
    """A plan of one table after another tensor, so that the table does not start the file."""
    widths = tuple(each.count if isinstance(each, Columns) else WIDTH for each in parts)
    made = Made(dtype, (ROWS, sum(widths)), Concat(parts, widths))
    return make_plain_plan({"before": Made(torch.bfloat16, (ROWS, 5 * WIDTH), copy("t")), "x": made})


def columns(donor: str, layer: int, layers: int = 1) -> torch.Tensor:
    """The same columns, cut by torch."""
    whole = random(ROWS, 5 * WIDTH, seed="ab".index(donor))
    return whole[:, layer * WIDTH : (layer + layers) * WIDTH]


HALF = linear(part("a", 2), part("b", 3), weights=(0.5, 0.5))
MEAN = (columns("a", 2).float() * 0.5 + columns("b", 3).float() * 0.5).bfloat16()
TURNED: Blend = slerp(part("a", 2), part("a", 2), 0.3)
CASES: dict[str, tuple[tuple[Expression, ...], list[torch.Tensor]]] = {
    "moved": (
        (part("a", 3, 2), part("b", 0), part("a", 0, 5)), [columns("a", 3, 2), columns("b", 0), columns("a", 0, 5)],
    ),
    "one layer": ((part("b", 4),), [columns("b", 4)]),
    "blended first": ((HALF, part("a", 0, 2)), [MEAN, columns("a", 0, 2)]),
    "blended between": ((part("a", 0, 2), HALF, part("b", 4)), [columns("a", 0, 2), MEAN, columns("b", 4)]),
    "all blended": ((HALF, HALF), [MEAN, MEAN]),
    "scaled and zero": (
        (Scale(part("a", 1), 0.5), Scale(part("a", 1), 0.0), part("b", 1)),
        [columns("a", 1) * 0.5, columns("a", 1) * 0, columns("b", 1)],
    ),
    "measured": ((part("b", 0), TURNED), [columns("b", 0), columns("a", 2)]),
}  # fmt: skip


@pytest.mark.parametrize("block", [1, 100, 1 << 20], ids=["row by row", "some rows", "all rows"])
@pytest.mark.parametrize(("parts", "expected"), CASES.values(), ids=CASES.keys())
def test_columns_land_in_their_places(
    parts: tuple[Expression, ...],
    expected: list[torch.Tensor],
    block: int,
    donors: dict[str, Donor],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The table is its parts side by side, exact where nothing is computed; verification finds no problem."""
    monkeypatch.setattr(strands, "BUFFER_BYTES", block)
    plan = table(*parts)
    build(plan, donors, tmp_path / "out")
    found = built(tmp_path / "out")["x"]
    assert torch.equal(found, torch.cat(expected, 1))
    assert [p for p in compare(tmp_path / "out", plan, donors) if "tensor" in p.message] == []


def test_few_columns_of_a_wide_table(tmp_path: Path) -> None:
    """When the columns are a small part of each row, only they are read."""
    wide = random(20, 400, seed=3)
    donors = {"a": write_plain_donor(tmp_path / "a", "a", [{"t": wide}])}
    made = Concat((Columns(TensorRef("a", "t"), 400, 8, 2), Columns(TensorRef("a", "t"), 400, 0, 2)), (2, 2))
    build(make_plain_plan({"x": Made(torch.bfloat16, (20, 4), made)}), donors, tmp_path / "out")
    assert torch.equal(built(tmp_path / "out")["x"], torch.cat([wide[:, 8:10], wide[:, :2]], 1))


def test_another_type(donors: dict[str, Donor], tmp_path: Path) -> None:
    """Columns that are cast become separate computed tasks."""
    parts = tuple(Cast(part(donor, 1), Dtype.F32) for donor in "ab")
    build(table(*parts, dtype=torch.float32), donors, tmp_path / "out")
    assert torch.equal(built(tmp_path / "out")["x"], torch.cat([columns("a", 1), columns("b", 1)], 1).float())


def test_rows_move_as_runs(donors: dict[str, Donor], tmp_path: Path) -> None:
    """Parts joined by rows are copied as runs, which can be cloned."""
    size = ROWS * 5 * WIDTH
    pieces: list[Columns] = [Columns(TensorRef(name, "t"), size, start, 40) for name, start in (("a", 80), ("b", 0))]
    half = linear(*pieces, weights=(0.5, 0.5))
    plan = make_plain_plan({"x": Made(torch.bfloat16, (6, 20), Concat((*pieces, half), (40, 40, 40)))})
    assert {type(task) for task in make_tasks(plan, donors)} == {CopyRun, Compute}
    build(plan, donors, tmp_path / "out")
    a, b = (random(ROWS, 5 * WIDTH, seed=seed) for seed in (0, 1))
    mean = (a[4:6].float() * 0.5 + b[:2].float() * 0.5).bfloat16()
    assert torch.equal(built(tmp_path / "out")["x"], torch.cat([a[4:6], b[:2], mean]))


def test_many_rows_are_many_tasks(donors: dict[str, Donor]) -> None:
    """A long table becomes several tasks of whole rows, each with an id of its own."""
    tasks = make_tasks(table(part("a", 0), HALF, part("b", 1)), donors, 512)
    copied = [task for task in tasks if isinstance(task, CopyColumns)]
    assert sum(task.rows for task in copied) == ROWS
    assert len(copied) > 3
    assert len({task.id for task in tasks}) == len(tasks)


@pytest.mark.parametrize("column", [0, 5, 10], ids=["moved", "blended", "moved, behind it"])
def test_damage_is_found(column: int, donors: dict[str, Donor], tmp_path: Path) -> None:
    """A wrong byte anywhere in the table is reported."""
    plan = table(part("a", 0), HALF, part("b", 1))
    build(plan, donors, tmp_path / "out")
    step = plan.steps[1]
    with (tmp_path / "out" / "model.safetensors").open("r+b") as file:
        file.seek(step.offset + 2 * (7 * 3 * WIDTH + column))
        file.write(b"\x7f\x01")
    problems = [problem.message for problem in compare(tmp_path / "out", plan, donors)]
    assert any(f"tensor 'x' is damaged, first at its byte {2 * (7 * 3 * WIDTH + column)}" in each for each in problems)
