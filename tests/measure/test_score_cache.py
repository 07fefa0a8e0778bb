"""The cache gives back what was kept, only for what it was kept for, and never what is damaged."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from stacker.compose import draw_blueprint
from stacker.io.files.cache_folder import find_user_cache
from stacker.measure.score_cache import ScoreCache, identify_stack
from tests.live.lives import stack_of
from tests.measure.donors_with_words import write_worded

PARTS = {"what": "losses", "tokens": "abc"}


def _change_entries(data: bytes, local: int, central: int) -> bytes:
    """Set a bit in the headers of an archive's members: at byte `local` of each member, and `central` of its entry."""
    for magic, at in ((b"PK\x03\x04", local), (b"PK\x01\x02", central)):
        pieces = data.split(magic)
        changed = (each[: at - 4] + bytes([each[at - 4] | 1]) + each[at - 3 :] for each in pieces[1:])
        data = magic.join([pieces[0], *changed])
    return data


def entry_of(folder: Path) -> Path:
    (path,) = folder.rglob("*.npz")
    return path


def test_arrays_come_back(tmp_path: Path) -> None:
    """Arrays have the same type and bits; other parts find nothing, and no other file is left."""
    cache = ScoreCache(tmp_path)
    losses = np.array([1.5, np.nextafter(np.float32(2), np.float32(3))], dtype=np.float32)
    cache.write(PARTS, {"losses": losses})
    found = cache.read(PARTS)
    assert found is not None
    assert [*found] == ["losses"]
    assert found["losses"].dtype == np.float32
    assert found["losses"].tobytes() == losses.tobytes()
    assert cache.read({**PARTS, "tokens": "abd"}) is None
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [entry_of(tmp_path)]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda _: b"", id="empty"),
        pytest.param(lambda data: data[: len(data) // 2], id="cut"),
        pytest.param(lambda data: data[:180] + bytes([data[180] ^ 1]) + data[181:], id="bit"),
        pytest.param(lambda _: b"no archive" * 40, id="other"),
        pytest.param(lambda data: _change_entries(data, 6, 8), id="encrypted"),
        pytest.param(lambda data: _change_entries(data, 8, 10), id="another compression"),
    ],
)
def test_damage_is_not_read(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """An entry that is cut, changed or something else is as none, and is written anew."""
    cache = ScoreCache(tmp_path)
    cache.write(PARTS, {"losses": np.arange(50.0)})
    path = entry_of(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    assert cache.read(PARTS) is None
    cache.write(PARTS, {"losses": np.arange(50.0)})
    assert cache.read(PARTS) is not None


def test_an_entry_in_the_wrong_place_is_not_read(tmp_path: Path) -> None:
    """An entry knows what it was kept for, whatever its file is called."""
    one, two = ScoreCache(tmp_path / "one"), ScoreCache(tmp_path / "two")
    one.write(PARTS, {"losses": np.zeros(3)})
    two.write({**PARTS, "tokens": "other"}, {"losses": np.ones(3)})
    entry_of(tmp_path / "two").replace(entry_of(tmp_path / "one"))
    assert one.read(PARTS) is None


def test_writers_do_not_disturb_each_other(tmp_path: Path) -> None:
    """While several write one entry again and again, every reader finds a whole one."""
    cache = ScoreCache(tmp_path)
    cache.write(PARTS, {"losses": np.zeros(1000)})

    def write_and_read(number: int) -> bool:
        cache.write(PARTS, {"losses": np.full(1000, number)})
        found = cache.read(PARTS)
        return found is not None and len(set(found["losses"].tolist())) == 1

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(write_and_read, range(60)))
    assert entry_of(tmp_path)


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    """Nothing is kept, and nothing fails; without a folder neither."""
    (tmp_path / "file").write_text("")
    for cache in (ScoreCache(tmp_path / "file" / "below"), ScoreCache(None)):
        cache.write(PARTS, {"losses": np.zeros(3)})
        assert cache.read(PARTS) is None


def test_the_folder_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """XDG_CACHE_HOME is used if it is absolute, as its specification demands; else ~/.cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert find_user_cache("scores") == tmp_path / "stacker" / "scores"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert find_user_cache("scores") == tmp_path / "home" / ".cache" / "stacker" / "scores"


def test_new_weights_in_an_old_file_are_another_stack(tmp_path: Path) -> None:
    """A file with other weights of the same shapes and its old time has the same plan id, and yet other scores."""
    write_worded(tmp_path, "a", "b")
    before = draw_blueprint(stack_of(tmp_path, ["a"]))
    weights = tmp_path / "a" / "model.safetensors"
    data, kept = weights.read_bytes(), weights.stat()
    weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    os.utime(weights, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    after = draw_blueprint(stack_of(tmp_path, ["a"]))
    assert before.plan.id == after.plan.id
    assert identify_stack(after) != identify_stack(before)
