"""The file that keeps how fast this machine builds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from stacker.compose import load_text
from stacker.core.plan.plan import Report
from stacker.core.study.build_time import DEFAULT_SPEEDS, Origin, Speeds
from stacker.io.speeds import find_speeds_file, learn_speeds, read_speeds, write_speeds
from tests.donors import write_llama

MEASURED = Speeds(1.5e9, {"ties": 2e9, "scale": 1e9}, Origin.MEASURED)
GOOD = {"format": 1, "origin": "measured", "write": 1e9, "arithmetic": {"ties": 1e9}}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_what_is_written_is_read() -> None:
    """Before that, and only then, there are the defaults; one file is left behind."""
    assert read_speeds() == DEFAULT_SPEEDS
    assert write_speeds(MEASURED) == find_speeds_file()
    assert read_speeds() == MEASURED
    assert [path.name for path in find_speeds_file().parent.iterdir()] == [find_speeds_file().name]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("{", id="cut off"),
        pytest.param("[]", id="a list"),
        pytest.param("[" * 16_000, id="deep"),
        pytest.param(json.dumps({**GOOD, "format": 2}), id="another form"),
        pytest.param(json.dumps({**GOOD, "write": "fast"}), id="text"),
        pytest.param(json.dumps({**GOOD, "write": float("nan")}), id="NaN"),
        pytest.param(json.dumps({**GOOD, "write": 0.0}), id="zero"),
        pytest.param(json.dumps({**GOOD, "arithmetic": {"ties": 1e99}}), id="too fast"),
        pytest.param(json.dumps({**GOOD, "origin": "heaven"}), id="another origin"),
        pytest.param(json.dumps({**GOOD, "note": "x" * 20_000}), id="long"),
    ],
)
def test_damaged_files_are_ignored(text: str) -> None:
    """They count as absent, and are replaced by the next measurement."""
    path = find_speeds_file()
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert read_speeds() == DEFAULT_SPEEDS
    write_speeds(MEASURED)
    assert read_speeds() == MEASURED


def test_unknown_ops_are_left_out() -> None:
    """A file of another version may know ops that this one does not."""
    path = find_speeds_file()
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({**GOOD, "arithmetic": {"ties": 1e9, "moonbeam": 1.0}}))
    assert read_speeds() == Speeds(1e9, {"ties": 1e9}, Origin.MEASURED)


def test_a_folder_or_pipe_in_its_place_is_ignored() -> None:
    """A folder cannot be read nor replaced; both go without a word."""
    find_speeds_file().mkdir(parents=True)
    assert read_speeds() == DEFAULT_SPEEDS
    assert write_speeds(MEASURED) is None
    assert [path.name for path in find_speeds_file().parent.iterdir()] == [find_speeds_file().name]


def test_a_cache_that_cannot_be_written_is_left_alone(cache: Path) -> None:
    """A file in place of the cache folder harms no build."""
    cache.write_text("")
    assert write_speeds(MEASURED) is None
    assert read_speeds() == DEFAULT_SPEEDS


def test_builds_correct_it(tmp_path: Path) -> None:
    """A build that took ten seconds for next to nothing lowers the speed; one of a moment changes no file."""
    write_llama(tmp_path / "a")
    plan = load_text(b"stacker: 1\ndonors: {a: ./a}\nstack: [a]\n", tmp_path / "spec.yml").plan()
    learn_speeds(plan, Report(copied=plan.total_size, seconds=0.01))
    assert not find_speeds_file().parent.exists()
    learn_speeds(plan, Report(copied=plan.total_size, seconds=10))
    assert read_speeds().write < DEFAULT_SPEEDS.write
    assert read_speeds() == replace(read_speeds(), origin=Origin.BUILDS)
