"""The local executor: the bytes it writes with any number of threads, and its report."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stacker.core.plan.costs import TILE
from stacker.core.plan.plan import Report
from stacker.core.plan.task_making import make_tasks
from stacker.core.values.donor import Donor
from stacker.core.values.expression import Cast, Expression, Scale
from stacker.errors import DonorError, SpecError
from stacker.io.output.destination import FolderDestination
from stacker.io.output.folder import open_output
from stacker.run.compute import rounds
from stacker.run.local import execute
from stacker.tensors import Dtype
from tests.run.builds import Made, build, built, copy, linear, make_plain_plan, random, slerp, write_plain_donor

B16 = torch.bfloat16


@pytest.fixture
def donors(tmp_path: Path) -> dict[str, Donor]:
    """Two donors of two files each, with a tensor of three tiles and a half in the first."""
    made = {}
    for number, name in enumerate("ab"):
        first = {"big": random(7, TILE // 2, seed=number), "small": random(3, 5, seed=number + 10)}
        second = {"t0": random(64, seed=number + 20), "t1": random(8, 8, seed=number + 30), "none": torch.empty(0, 3)}
        made[name] = write_plain_donor(tmp_path / name, name, [first, second])
    return made


def _digest(out: Path) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(out.glob("*.safetensors")))).hexdigest()


def _mixed() -> dict[str, Made]:
    """Tensors of all kinds: copies, zeros, a scaled tensor, blends with and without passes, and blends of blends."""
    big = slerp(copy("big"), linear(copy("big", "b"), copy("big"), weights=(3, 1)), 0.3)
    return {
        "one": Made(B16, (3, 5), copy("small")),
        "two": Made(B16, (64,), copy("t0", "b")),
        "three": Made(B16, (8, 8), Scale(copy("t1"), 0.0)),
        "four": Made(B16, (8, 8), Scale(copy("t1"), 0.5)),
        "five": Made(B16, (7, TILE // 2), big),
        "six": Made(torch.float32, (3, 5), Cast(slerp(copy("small"), copy("small", "b"), 0.5), Dtype.F32)),
        "seven": Made(torch.float32, (0, 3), copy("none")),
    }


def test_copies_are_the_donors_bytes(tmp_path: Path, donors: dict[str, Donor]) -> None:
    """Tensors of several donors and files arrive as they were, in shards of any size."""
    sources = [("a", "t1"), ("b", "small"), ("a", "big"), ("a", "small"), ("a", "t1"), ("b", "none")]
    originals = {name: built(tmp_path / name) for name in "ab"}
    made = {
        f"out.{number}": Made(originals[donor][name].dtype, tuple(originals[donor][name].shape), copy(name, donor))
        for number, (donor, name) in enumerate(sources)
    }
    report = build(make_plain_plan(made, per_shard=4), donors, tmp_path / "out")
    got = built(tmp_path / "out")
    assert all(got[f"out.{number}"].equal(originals[donor][name]) for number, (donor, name) in enumerate(sources))
    assert report.computed == 0


@pytest.mark.parametrize("workers", [1, 3, 8])
@pytest.mark.parametrize("per_shard", [1, 3, 100])
def test_bytes_do_not_depend_on_the_threads(
    tmp_path: Path, donors: dict[str, Donor], monkeypatch: pytest.MonkeyPatch, workers: int, per_shard: int
) -> None:
    """One thread or eight, large pieces or small, one shard or many: every tensor has the same bytes."""
    build(make_plain_plan(_mixed(), per_shard), donors, tmp_path / "one", workers=1)
    monkeypatch.setattr(rounds, "TILES_PER_JOB", TILE)
    build(make_plain_plan(_mixed(), per_shard), donors, tmp_path / "other", workers=workers)
    assert _digest(tmp_path / "one") == _digest(tmp_path / "other")


def test_the_report_counts_every_byte_once(tmp_path: Path, donors: dict[str, Donor]) -> None:
    """Copied, zero and computed bytes add up to the output; bytes read include those of the pass that slerp makes."""
    plan = make_plain_plan(_mixed())
    report = build(plan, donors, tmp_path / "out")
    big, small = 2 * 7 * TILE // 2, 2 * 15
    assert report.cloned + report.copied + report.holes + report.computed == plan.total_size
    assert report.computed == 2 * 64 + big + 4 * 15
    assert report.read == report.copied + 2 * 64 + 2 * (3 * big) + 2 * (2 * small)
    assert report.kept == 0


def test_zeros_are_not_read(tmp_path: Path, donors: dict[str, Donor]) -> None:
    """A factor of 0 gives zeros and reads nothing, not even where the donor holds NaN."""
    broken = write_plain_donor(tmp_path / "n", "n", [{"x": torch.full((5,), torch.nan)}])
    plan = make_plain_plan({"z": Made(torch.float32, (5,), Scale(copy("x", "n"), 0.0))})
    report = build(plan, {**donors, "n": broken}, tmp_path / "out")
    assert built(tmp_path / "out")["z"].view(torch.int32).tolist() == [0] * 5
    assert (report.holes, report.read) == (20, 0)


def test_torch_is_not_imported_without_arithmetic() -> None:
    """Importing the executor does not import torch."""
    code = "import sys; import stacker.run.executors, stacker.run.verify; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_torch_threads_are_given_back(tmp_path: Path, donors: dict[str, Donor]) -> None:
    """A build does not change the number of torch's threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        build(make_plain_plan(_mixed()), donors, tmp_path / "out")
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_nothing_to_do_is_done(tmp_path: Path, donors: dict[str, Donor]) -> None:
    """A plan of empty tensors writes a shard that is only a header."""
    plan = make_plain_plan({"none": Made(torch.float32, (0, 3), copy("none"))})
    assert build(plan, donors, tmp_path / "out").read == 0
    assert built(tmp_path / "out")["none"].shape == (0, 3)


@pytest.mark.parametrize(
    ("expression", "name"), [(copy("big"), "moved"), (Scale(copy("big"), 0.5), "scaled")], ids=["moved", "scaled"]
)
def test_a_donor_that_changed_is_refused(
    tmp_path: Path, donors: dict[str, Donor], expression: Expression, name: str
) -> None:
    """A donor that was written to after planning is an error that names file and tensor."""
    path = Path(str(donors["a"].files[0].path))
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    plan = make_plain_plan({name: Made(B16, (7, TILE // 2), expression)})
    with pytest.raises(DonorError, match=f"tensor '{name}': the donor's file changed since it was planned") as caught:
        build(plan, donors, tmp_path / "out")
    assert str(path) in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_donor_that_changes_meanwhile_is_noticed(tmp_path: Path, donors: dict[str, Donor]) -> None:
    """A donor written to while it was read makes the build fail at its end."""
    path = Path(str(donors["a"].files[1].path))
    plan = make_plain_plan({"one": Made(B16, (64,), copy("t0"))})
    with (
        open_output(FolderDestination(tmp_path / "out"), plan, {}, force=False, restart=False) as output,
        pytest.raises(DonorError, match="it was written to"),
    ):
        execute(plan, make_tasks(plan, donors), output, watch=lambda _done, _total: path.touch())


def test_weights_that_are_not_here_are_refused(donors: dict[str, Donor]) -> None:
    """A donor without weights is named before any work is done."""
    files = tuple(replace(file, path=None) for file in donors["a"].files)
    absent = replace(donors["a"], name="c", files=files)
    plan = make_plain_plan({"one": Made(B16, (64,), copy("t0", "c"))})
    with pytest.raises(DonorError, match="donor 'c' are not here"):
        make_tasks(plan, {**donors, "c": absent})


def test_too_little_memory_is_refused(tmp_path: Path, donors: dict[str, Donor]) -> None:
    """--max-memory below the need of one worker is an error that says how much it needs."""
    plan = make_plain_plan(_mixed())
    with (
        open_output(FolderDestination(tmp_path / "out"), plan, {}, force=False, restart=False) as output,
        pytest.raises(SpecError, match="with one worker"),
    ):
        execute(plan, make_tasks(plan, donors), output, max_memory=1_000_000)


def test_reports_add_up() -> None:
    """Reports are added entry by entry."""
    assert Report(1, 2, 3, 4, 5, 6, 7.0) + Report(cloned=1, seconds=1.0) == Report(2, 2, 3, 4, 5, 6, 8.0)
