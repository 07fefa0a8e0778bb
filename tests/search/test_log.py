"""The log of a search: what is read is what was written, and a torn line is dropped."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from stacker.errors import LockedError, SpecError, StorageError
from stacker.search.log import Log, open_log, read_log
from stacker.search.results import Losses, Measured, Proposal

HEAD = {"seed": 1, "texts": ["a"]}
GOOD = Measured((0.1, 2.0), 0.01, 0.2, 16, 30, "abc")
LOST = Measured(None, problem="does not fit")


def write_two(path: Path) -> Log:
    """A log with two trials and the losses of one stack."""
    with open_log(path, HEAD) as log:
        log.try_point("cma", 0, Proposal({"t": 0.5}, "start"), lambda: GOOD)
        log.try_point("cma", 0, Proposal([["a", 0, 3]], "drop 3:4", (0,)), lambda: LOST)
        log.recall_losses("final", "winner", "abc", lambda: Losses("final", "winner", "abc", ("t",), ((1.0, 2.0),)))
    return log


def test_a_log_is_read_back(tmp_path: Path) -> None:
    """Trials and losses are equal to those that were written."""
    written = write_two(tmp_path / "log")
    record = read_log(tmp_path / "log")
    assert list(record.trials) == written.trials
    assert record.losses == (Losses("final", "winner", "abc", ("t",), ((1.0, 2.0),)),)
    assert record.head == {"search": 1, **HEAD}


def test_known_trials_are_not_measured_again(tmp_path: Path) -> None:
    """A log that is opened again gives its trials, then measures."""
    write_two(tmp_path / "log")

    def fail() -> Measured:
        raise AssertionError("measured again")

    with open_log(tmp_path / "log", HEAD) as log:
        assert log.recalled == 2
        assert log.try_point("cma", 0, Proposal({"t": 0.5}, "start"), fail).measured == GOOD
        log.try_point("cma", 0, Proposal([["a", 0, 3]], "drop 3:4", (0,)), fail)
        assert log.try_point("cma", 1, Proposal({"t": 1}, "new"), lambda: LOST).number == 2
    assert len(read_log(tmp_path / "log").trials) == 3


@pytest.mark.parametrize("rest", [b"{", b'{"trial": {"number": 2', b"\xff"])
def test_a_torn_line_is_dropped(tmp_path: Path, rest: bytes) -> None:
    """What a killed process left without a line end is no part of the log, and is overwritten."""
    path = tmp_path / "log"
    write_two(path)
    whole = path.read_bytes()
    path.write_bytes(whole + rest)
    assert len(read_log(path).trials) == 2
    with open_log(path, HEAD):
        pass
    assert path.read_bytes() == whole


def test_another_search_is_refused(tmp_path: Path) -> None:
    """A log of another search is an error that names what differs, and stays as it is."""
    write_two(tmp_path / "log")
    before = (tmp_path / "log").read_bytes()
    with pytest.raises(SpecError, match="another seed, texts"):
        open_log(tmp_path / "log", {"seed": 2, "texts": ["b"]})
    assert (tmp_path / "log").read_bytes() == before


def test_another_trial_is_refused(tmp_path: Path) -> None:
    """A search that would try something else than the log says stops."""
    write_two(tmp_path / "log")
    with open_log(tmp_path / "log", HEAD) as log, pytest.raises(SpecError, match="trial 0 of the log"):
        log.try_point("cma", 0, Proposal({"t": 0.25}, "start"), lambda: GOOD)


def test_two_writers_are_refused(tmp_path: Path) -> None:
    """A second search cannot write the same log at the same time."""
    with open_log(tmp_path / "log", HEAD), pytest.raises(LockedError, match="another search"):
        open_log(tmp_path / "log", HEAD)


@pytest.mark.parametrize("text", ["", "{}\n", "no json\n", "[]\n", '{"search": 1}\n{"trial": {}}\n'])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    """A file that is no log, or whose lines lack something, is an error with its name."""
    path = tmp_path / "other"
    path.write_text(text)
    with pytest.raises(SpecError, match="other"):
        read_log(path)


def test_a_missing_log_is_an_error(tmp_path: Path) -> None:
    """A log that is not there cannot be read."""
    with pytest.raises(StorageError, match="cannot read"):
        read_log(tmp_path / "none")


@pytest.mark.parametrize("read", [read_log, lambda path: open_log(path, HEAD)], ids=["read", "go on"])
def test_pipes_and_devices_are_refused(tmp_path: Path, read: Callable[[Path], object]) -> None:
    """A log that would never end, or that nobody writes, is an error at once."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(StorageError, match="it is not a regular file"):
            read(path)


def test_lines_are_json(tmp_path: Path) -> None:
    """Every line is one JSON object."""
    write_two(tmp_path / "log")
    lines = (tmp_path / "log").read_text().splitlines()
    assert [next(iter(json.loads(line))) for line in lines] == ["search", "trial", "trial", "losses"]
