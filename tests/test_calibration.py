"""`doctor --measure`: which stacks are built, and what is kept of their times."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stacker import calibration
from stacker.core.study.build_time import SCALE, Origin
from stacker.io.speeds import read_speeds
from stacker.ops.table import OPS
from tests.cli.commands import run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, a cache folder beside it, and donors that are quickly blended."""
    monkeypatch.setattr(calibration, "LARGE", 128)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder"


def test_every_op_is_measured(folder: Path) -> None:
    """All ops that compute, and scaling; nothing is left in the folder, and the speeds are kept for this machine."""
    seen: list[tuple[int, int]] = []
    speeds = calibration.measure_speeds(folder, lambda done, total: seen.append((done, total)))
    assert {*speeds.arithmetic} == {*OPS, SCALE} - {"passthrough", "zero"}
    assert speeds == read_speeds()
    assert speeds.origin is Origin.MEASURED
    assert [*folder.iterdir()] == []
    assert seen[-1] == (len(OPS), len(OPS))


def test_ops_do_their_whole_work() -> None:
    """Ops with passes that depend on parameters are measured with parameters that need the most of them."""
    for op in OPS.values():
        if any(parameter.name in ("density", "select_topk") for parameter in op.parameters):
            assert "0.5" in calibration.SETTINGS[op.name]


def test_the_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`doctor` shows the defaults, then what was measured; preview says where its time comes from."""
    assert json.loads(run(capsys, "doctor", str(folder), "--json")[1])["speeds"]["from"] == "defaults"
    code, out, _ = run(capsys, "doctor", str(folder), "--measure", "--json")
    assert code == 0
    said = json.loads(out)["speeds"]
    assert said["from"] == "measured"
    assert {*said["elements"]} == {*OPS}
    assert "measured with --measure" in run(capsys, "doctor", str(folder))[1]


def test_a_folder_that_is_not_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An error about the folder, as without --measure."""
    code, _, err = run(capsys, "doctor", str(folder / "none"), "--measure")
    assert code != 0
    assert "none" in err
