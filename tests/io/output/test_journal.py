"""The journal: synced lines are read after a crash, damaged ones do not count."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stacker.io.output.journal import JOURNAL, Journal, Record, read_journal

LINES: list[dict[str, Any]] = [
    {"plan": "p", "summary": {"name": "x"}},
    {"pid": 7},
    {"shard": "s", "size": 9},
    {"done": ["1", "2"]},
    {"pid": 8},
    {"done": ["3"]},
]


def write(folder: Path) -> bytes:
    """Write a journal of all LINES; returns its bytes."""
    journal = Journal.open(folder, 0)
    journal.write(LINES)
    journal.sync()
    journal.close()
    return (folder / JOURNAL).read_bytes()


def test_reads_what_was_written(tmp_path: Path) -> None:
    """A journal is read as plan, last writer, shards and tasks."""
    data = write(tmp_path)
    assert read_journal(tmp_path) == Record("p", {"name": "x"}, 8, {"s": 9}, frozenset("123"), len(data))


def test_no_journal(tmp_path: Path) -> None:
    """A folder without a journal reads as None."""
    assert read_journal(tmp_path) is None


def test_a_torn_tail_never_was(tmp_path: Path) -> None:
    """In a journal cut off at any byte, only the whole lines before the cut count."""
    data = write(tmp_path)
    ends = [0, *(place + 1 for place, byte in enumerate(data) if byte == 10)]
    for cut in range(len(data)):
        (tmp_path / JOURNAL).write_bytes(data[:cut])
        record = read_journal(tmp_path)
        assert record is not None
        assert record.nbytes == max(end for end in ends if end <= cut)
        assert record.done == frozenset("123"[: [0, 0, 0, 0, 2, 2, 3][ends.index(record.nbytes)]])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_ends_what_counts(tmp_path: Path, data: st.DataObject) -> None:
    """With any byte changed, only whole lines before it count."""
    whole = bytearray(write(tmp_path))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    (tmp_path / JOURNAL).write_bytes(whole)
    record = read_journal(tmp_path)
    assert record is not None
    assert record.nbytes <= place
    assert record.done <= frozenset("123")


def test_lines_are_added_after_the_undamaged_part(tmp_path: Path) -> None:
    """A damaged line is cut off before new ones are added."""
    data = write(tmp_path)
    (tmp_path / JOURNAL).write_bytes(data + b"0000")
    record = read_journal(tmp_path)
    assert record is not None
    journal = Journal.open(tmp_path, record.nbytes)
    journal.write([{"done": ["4"]}])
    journal.close()
    assert read_journal(tmp_path) != record
    assert (tmp_path / JOURNAL).read_bytes().startswith(data)


@pytest.mark.parametrize("line", ["7", "[]", '{"shard": "s"}', '{"done": 7}', '{"pid": 1, "plan": "p", "done": null}'])
def test_whole_lines_that_are_not_ours_count_for_nothing(tmp_path: Path, line: str) -> None:
    """Undamaged lines of another format do not count."""
    (tmp_path / JOURNAL).write_text(f"{zlib.crc32(line.encode()):08x} {line}\n")
    assert read_journal(tmp_path) == Record()


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    """A journal that is a link is refused, and its target is not truncated."""
    (tmp_path / "other").write_text("precious")
    (tmp_path / JOURNAL).symlink_to("other")
    with pytest.raises(OSError, match=os.strerror(40)):
        Journal.open(tmp_path, 0)
    assert (tmp_path / "other").read_text() == "precious"
