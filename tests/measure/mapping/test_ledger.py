"""The ledger keeps what was written, whatever happened to its last line."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from stacker.errors import StorageError
from stacker.measure.mapping.ledger import Ledger, open_ledger


def test_exact_values(tmp_path: Path) -> None:
    """Values come back exactly; the last entry of an edit counts."""
    ledger = Ledger(tmp_path / "new" / "x.jsonl", 3)
    assert ledger.read() == {}
    ledger.add("drop 1:2", [0.1, 1e-300, float("inf")])
    ledger.add("repeat 1:2", [1.0, 2.0, 3.0])
    assert ledger.read() == {"drop 1:2": (0.1, 1e-300, float("inf")), "repeat 1:2": (1.0, 2.0, 3.0)}


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(b'{"edit": "x", "losses": [1.0', id="torn"),
        pytest.param(b"\xff\xfe\n", id="bytes"),
        pytest.param(b'{"edit": "x"}\n', id="no-losses"),
        pytest.param(b"[" * 5000 + b"\n", id="deep"),
        pytest.param(b'{"edit": 1, "losses": [1.0]}\n', id="no-name"),
        pytest.param(b'{"edit": "x", "losses": [1.0, 2.0]}\n', id="too-many"),
        pytest.param(b'{"edit": "x", "losses": [NaN]}\n', id="nan"),
        pytest.param(b'{"edit": "x", "losses": ["1"]}\n', id="text"),
    ],
)
def test_damage_is_left_out(tmp_path: Path, damage: bytes) -> None:
    """A damaged line is as if it had not been written, and what is added behind it is read."""
    ledger = Ledger(tmp_path / "x.jsonl", 1)
    ledger.add("a", [1.0])
    with ledger.path.open("ab") as file:
        file.write(damage)
    ledger.add("b", [2.0])
    assert ledger.read() == {"a": (1.0,), "b": (2.0,)}


def test_two_writers(tmp_path: Path) -> None:
    """Entries of several writers at once are all there."""
    ledger = Ledger(tmp_path / "x.jsonl", 1)

    def write(number: int) -> None:
        for each in range(50):
            ledger.add(f"{number} {each}", [1.0])

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ledger.read()) == 200


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """A file where the folder should be is an error with a place and a hint."""
    (tmp_path / "cache").write_text("")
    with pytest.raises(StorageError, match="cannot keep measurements"):
        Ledger(tmp_path / "cache" / "x.jsonl", 1).add("a", [1.0])


def test_ledgers_of_other_settings_are_other_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The file's name depends on every setting, and lies in the user's cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    one, other = open_ledger({"dtype": "a"}, 1), open_ledger({"dtype": "b"}, 1)
    assert one.path != other.path
    assert one.path == open_ledger({"dtype": "a"}, 1).path
    assert one.path.is_relative_to(tmp_path / "stacker" / "probes")
