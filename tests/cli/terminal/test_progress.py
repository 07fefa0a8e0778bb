"""Progress on standard error."""

from __future__ import annotations

from itertools import count

import pytest

from stacker.cli.terminal.progress import show_progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that advances by six seconds at each reading."""
    ticks = count(100.0, 6.0)
    monkeypatch.setattr("stacker.cli.terminal.progress.time.monotonic", lambda: next(ticks))


@pytest.mark.usefixtures("clock")
def test_without_a_terminal_there_is_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    """Not every call prints a line; a line has bytes, speed and time left."""
    with show_progress("building", quiet=False) as (watch,):
        for done in (1000, 2000, 3000, 4000):
            watch(done, 6000)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("building: 3.0 kB of 6.0 kB, 250 bytes/s, 12 s left")


@pytest.mark.usefixtures("clock")
def test_what_has_not_begun_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """An activity that is never reported is not shown; its time counts from its first report."""
    with show_progress("fetching", "building", quiet=False) as (_, watch):
        for done in (0, 600, 1200):
            watch(done, 1200)
    assert capsys.readouterr().err.startswith("building: 1.2 kB of 1.2 kB, 100 bytes/s")


@pytest.mark.usefixtures("clock")
def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing at all is written."""
    with show_progress("building", quiet=True) as (watch,):
        for done in range(5):
            watch(done, 5)
    assert capsys.readouterr().err == ""


def test_on_a_terminal_each_has_its_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A bar appears for each activity that has begun."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    with show_progress("fetching", "building", "cleaning", quiet=False) as (fetching, building, _):
        fetching(10, 10)
        building(5, 10)
    shown = capsys.readouterr().err
    assert "fetching" in shown
    assert "building" in shown
    assert "cleaning" not in shown
