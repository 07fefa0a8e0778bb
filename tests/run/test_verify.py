"""Verification finds and names every kind of damage to an output, and nothing in a sound one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stacker.core.plan.plan import Plan
from stacker.core.plan.plan_json import make_plan_index
from stacker.core.values.donor import Donor
from stacker.core.values.expression import Expression, Scale
from stacker.errors import Blame, DonorError
from stacker.run.verify import compare
from tests.run.builds import Made, build, copy, make_plain_plan, random, slerp, write_plain_donor

FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


@pytest.fixture
def donors(tmp_path: Path) -> dict[str, Donor]:
    """Two donors of four tensors."""
    return {
        name: write_plain_donor(tmp_path / name, name, [{f"t{n}": random(10, 10, seed=10 * k + n) for n in range(4)}])
        for k, name in enumerate("ab")
    }


@pytest.fixture
def plan() -> Plan:
    """Two shards: three copied tensors and one of zeros, then a blend and a scaled one."""
    expressions: list[Expression] = [copy("t0"), copy("t1"), copy("t3", "b"), Scale(copy("t1"), 0.0)]
    expressions += [slerp(copy("t2"), copy("t2", "b"), 0.5), Scale(copy("t3"), 2.0)]
    made = {f"o{n}": Made(torch.bfloat16, (10, 10), expression) for n, expression in enumerate(expressions)}
    return make_plain_plan(made, per_shard=4)


@pytest.fixture
def out(tmp_path: Path, donors: dict[str, Donor], plan: Plan) -> Path:
    """The plan, built, with config and index."""
    build(plan, donors, tmp_path / "out")
    (tmp_path / "out" / "config.json").write_text(json.dumps(plan.config))
    (tmp_path / "out" / "model.safetensors.index.json").write_text(json.dumps(make_plan_index(plan)))
    return tmp_path / "out"


def _said(out: Path, plan: Plan, donors: dict[str, Donor]) -> list[str]:
    problems = list(compare(out, plan, donors))
    assert all(problem.blame is Blame.VERIFY for problem in problems)
    return [f"{Path(problem.mark.source).name if problem.mark else ''}: {problem.message}" for problem in problems]


def _flip(path: Path, offset: int) -> None:
    fd = os.open(path, os.O_RDWR)
    (byte,) = os.pread(fd, 1, offset)
    os.pwrite(fd, bytes([byte ^ 1]), offset)
    os.close(fd)


def test_a_sound_output_has_no_problem(out: Path, plan: Plan, donors: dict[str, Donor]) -> None:
    """All bytes are compared, and none differs."""
    told: list[tuple[int, int]] = []
    assert not list(compare(out, plan, donors, lambda *news: told.append(news)))
    assert told[-1] == (plan.total_size, plan.total_size)


@pytest.mark.parametrize("number", range(6), ids=["copy", "copy 2", "copy 3", "zeros", "blend", "scaled"])
@pytest.mark.parametrize("byte", [0, 77, 199], ids=["first", "inside", "last"])
def test_a_flipped_bit_is_named(out: Path, plan: Plan, donors: dict[str, Donor], number: int, byte: int) -> None:
    """One flipped bit is reported with its tensor and byte, whether the tensor was copied or computed."""
    step = plan.steps[number]
    shard = plan.shards[step.shard].name
    _flip(out / shard, step.offset + byte)
    place = f"first at its byte {byte} (byte {step.offset + byte} of the file)"
    assert _said(out, plan, donors) == [f"{shard}: tensor 'o{number}' is damaged, {place}"]


def test_each_damaged_tensor_is_named_once(out: Path, plan: Plan, donors: dict[str, Donor]) -> None:
    """Damage at several places of a tensor is one problem."""
    for number, byte in ((0, 5), (0, 6), (2, 0), (4, 9)):
        _flip(out / plan.shards[plan.steps[number].shard].name, plan.steps[number].offset + byte)
    assert [line.split("'")[1] for line in _said(out, plan, donors)] == ["o0", "o2", "o4"]


def _truncate(out: Path) -> None:
    os.truncate(out / FIRST, 300)


def _lose(out: Path) -> None:
    (out / SECOND).unlink()


def _respell(out: Path) -> None:
    content = (out / FIRST).read_bytes()
    (out / FIRST).write_bytes(content.replace(b'"o1"', b'"oX"'))


def _leave(out: Path) -> None:
    (out / "model.safetensors").write_bytes(b"stale")


def _edit_config(out: Path) -> None:
    (out / "config.json").write_text('{"layers": 2, "more": true}')


def _lose_config(out: Path) -> None:
    (out / "config.json").unlink()


def _break_index(out: Path) -> None:
    (out / "model.safetensors.index.json").write_text("{")


def _edit_index(out: Path) -> None:
    path = out / "model.safetensors.index.json"
    path.write_text(path.read_text().replace(f'"o0": "{FIRST}"', f'"o0": "{SECOND}"'))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_truncate, f"{FIRST}: this shard has 300 bytes"),
        (_lose, f"{SECOND}: this shard is missing"),
        (_respell, f"{FIRST}: the header of this shard is not as planned"),
        (_leave, "model.safetensors: this file is not in the plan"),
        (_edit_config, "config.json: not as planned: 'layers', 'more'"),
        (_lose_config, "config.json: this file is missing"),
        (_break_index, "model.safetensors.index.json: cannot read this file"),
        (_edit_index, "model.safetensors.index.json: not as planned: 'weight_map.o0'"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_wrong_file_is_named(
    out: Path, plan: Plan, donors: dict[str, Donor], damage: Callable[[Path], None], said: str
) -> None:
    """Shards, config and index that are missing, truncated, edited or superfluous are problems."""
    damage(out)
    (line,) = _said(out, plan, donors)
    assert line.startswith(said)


def test_holes_are_compared_too(tmp_path: Path) -> None:
    """A tensor that is a hole in donor and output is sound; a byte written into the hole is damage."""
    donor = write_plain_donor(tmp_path / "s", "s", [{"x": torch.zeros(1_000_000)}])
    path = Path(str(donor.files[0].path))
    header = path.read_bytes()[: donor.tensors["x"].extent.offset if donor.tensors["x"].extent else 0]
    os.truncate(path, len(header))
    os.truncate(path, donor.files[0].size)
    donors = {"s": replace(donor, files=(replace(donor.files[0], stamp=None),))}
    plan = make_plain_plan({"o": Made(torch.float32, (1_000_000,), copy("x", "s"))})
    assert build(plan, donors, tmp_path / "out").holes > 3_900_000
    (tmp_path / "out" / "config.json").write_text(json.dumps(plan.config))
    assert not _said(tmp_path / "out", plan, donors)
    _flip(tmp_path / "out" / "model.safetensors", plan.steps[0].offset + 2_345_678)
    assert "first at its byte 2345678 " in _said(tmp_path / "out", plan, donors)[0]


def test_a_single_shard_has_no_index(tmp_path: Path, plan: Plan, donors: dict[str, Donor]) -> None:
    """An index beside a single shard is a problem: the plan has none."""
    single = make_plain_plan({"o": Made(torch.bfloat16, (10, 10), copy("t0"))})
    build(single, donors, tmp_path / "out")
    (tmp_path / "out" / "config.json").write_text(json.dumps(single.config))
    assert not _said(tmp_path / "out", single, donors)
    (tmp_path / "out" / "model.safetensors.index.json").write_text(json.dumps(make_plan_index(plan)))
    assert _said(tmp_path / "out", single, donors)[0].startswith("model.safetensors.index.json: this file is not in")


def test_a_donor_that_changed_is_not_the_outputs_damage(out: Path, plan: Plan, donors: dict[str, Donor]) -> None:
    """When a donor changed since the build, the output cannot be verified: a DonorError, not damage."""
    Path(str(donors["a"].files[0].path)).touch()
    with pytest.raises(DonorError, match="changed since it was planned"):
        list(compare(out, plan, donors))
