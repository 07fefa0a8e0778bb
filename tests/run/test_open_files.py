"""Builds with more shards and donor files than a process may open at once."""

from __future__ import annotations

import json
import os
import pickle
import resource
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from stacker.core.plan.plan import Plan, Shard
from stacker.core.plan.plan_json import make_plan_index
from stacker.core.plan.task_making import make_tasks
from stacker.core.values.donor import Donor
from stacker.core.values.expression import Scale
from stacker.errors import StorageError
from stacker.io.disk.copies import find_path
from stacker.io.disk.direct import Writer
from stacker.io.output.destination import FolderDestination
from stacker.io.output.folder import Output, open_output
from stacker.run.local import execute
from tests.run.builds import Made, build, copy, make_plain_plan, random, write_plain_donor

FILES, SHARDS, LIMIT = 150, 300, 256
FDS = Path("/proc/self/fd")


@pytest.fixture
def donors(tmp_path: Path) -> dict[str, Donor]:
    """A donor of 150 files with two tensors each, one of them empty in the last."""
    files = [{f"t{2 * n}": random(8, 8, seed=n), f"t{2 * n + 1}": random(8, 8, seed=n + FILES)} for n in range(FILES)]
    files[-1]["none"] = torch.empty(0, 3, dtype=torch.bfloat16)
    return {"a": write_plain_donor(tmp_path / "a", "a", files)}


@pytest.fixture
def plan() -> Plan:
    """300 shards of three tensors each; all tensors of the first three shards are empty, zeros, or copied."""
    made: dict[str, Made] = {}
    for n in range(SHARDS):
        copied, empty = Made(torch.bfloat16, (8, 8), copy(f"t{n}")), Made(torch.bfloat16, (0, 3), copy("none"))
        zeros = Made(torch.bfloat16, (8, 8), Scale(copy(f"t{n}"), 0.0))
        scaled = Made(torch.bfloat16, (8, 8), Scale(copy(f"t{SHARDS - 1 - n}"), 2.0))
        tensors = {0: [empty] * 3, 1: [zeros] * 3, 2: [copied] * 3}.get(n, [copied, zeros, scaled])
        made |= {f"o{n:03}.{k}": tensor for k, tensor in enumerate(tensors)}
    return make_plain_plan(made, per_shard=3)


_LIMITED = """
import pickle, resource, sys
from pathlib import Path
from stacker.errors import StackerError
from stacker.run import local
from stacker.run.verify import compare
from tests.run.builds import build
folder, left = Path(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[3]),) * 2)
plan, donors = pickle.loads((folder / "work").read_bytes())
do, tasks = local._do, iter(range(left))
def limited(*task):
    if next(tasks, None) is None:
        raise KeyboardInterrupt
    do(*task)
local._do = limited
try:
    report = build(plan, donors, folder / "out", workers=4)
except (KeyboardInterrupt, StackerError) as error:
    sys.exit(f"{type(error).__name__}: {error}")
print(report.kept)
(folder / "out" / "config.json").write_bytes((folder / "config").read_bytes())
(folder / "out" / "model.safetensors.index.json").write_bytes((folder / "index").read_bytes())
print(*compare(folder / "out", plan, donors, workers=4))
"""


def _build_limited(folder: Path, tasks: int, limit: int = LIMIT) -> subprocess.CompletedProcess[str]:
    """Build and verify in a process that may open `limit` files; it is interrupted after so many tasks."""
    command = [sys.executable, "-c", _LIMITED, str(folder), str(tasks), str(limit)]
    return subprocess.run(command, capture_output=True, check=False, text=True)


def _shards(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.glob("*.safetensors"))}


def _save(folder: Path, plan: Plan, donors: Mapping[str, Donor]) -> None:
    (folder / "work").write_bytes(pickle.dumps((plan, donors)))
    (folder / "config").write_text(json.dumps(plan.config))
    (folder / "index").write_text(json.dumps(make_plan_index(plan)))


def test_more_shards_than_open_files(tmp_path: Path, donors: dict[str, Donor], plan: Plan) -> None:
    """With 256 descriptors, 300 shards are built, interrupted, resumed and verified; the bytes are the same."""
    build(plan, donors, tmp_path / "whole")
    _save(tmp_path, plan, donors)
    stopped = _build_limited(tmp_path, 500)
    assert stopped.stderr.startswith("KeyboardInterrupt"), stopped.stderr
    resumed = _build_limited(tmp_path, 10**6)
    assert resumed.returncode == 0, resumed.stderr
    kept, problems = resumed.stdout.split("\n", 1)
    assert 0 < int(kept) < plan.total_size
    assert not problems.strip()
    assert _shards(tmp_path / "out") == _shards(tmp_path / "whole")
    assert len(_shards(tmp_path / "out")) == SHARDS


def test_too_few_descriptors_are_no_fault_of_a_donor(tmp_path: Path, donors: dict[str, Donor], plan: Plan) -> None:
    """A limit that not even one task fits in is named, with what to do about it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with open_output(FolderDestination(tmp_path / "out"), plan, {}, force=False, restart=False) as output:
        tasks = make_tasks(plan, donors)
        probe = os.open(os.devnull, os.O_RDONLY)
        os.close(probe)
        resource.setrlimit(resource.RLIMIT_NOFILE, (probe + 1, hard))
        try:
            with pytest.raises(StorageError, match=rf"may open {probe + 1}\)") as caught:
                execute(plan, tasks, output, workers=1)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "ulimit -n" in str(caught.value)


def test_a_shard_is_opened_once_and_closed_after_its_last_task(
    tmp_path: Path, donors: dict[str, Donor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where descriptors suffice each shard is opened once, and once all tasks are recorded none is open."""
    opened: list[str] = []
    whole = Output._open_shard

    def noted(output: Output, shard: Shard) -> Writer:
        opened.append(shard.name)
        return whole(output, shard)

    monkeypatch.setattr(Output, "_open_shard", noted)
    plan = make_plain_plan({f"o{n:02}": Made(torch.bfloat16, (8, 8), copy(f"t{n}")) for n in range(80)}, per_shard=4)
    with open_output(FolderDestination(tmp_path / "out"), plan, {}, force=False, restart=False) as output:
        execute(plan, make_tasks(plan, donors), output, workers=2)
        names = [find_path(int(fd.name)).name for fd in FDS.iterdir()]
        assert not set(opened) & set(names)
    assert sorted(opened) == [shard.name for shard in plan.shards]
