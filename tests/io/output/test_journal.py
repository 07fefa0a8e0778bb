"""The journal: synced lines are read after a crash, damaged ones do not count."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stacker.formats.safetensors import FileStamp
from stacker.io.output.journal import JOURNAL, Journal, Record, read_journal


def write(folder: Path) -> bytes:
    """Write a journal of six lines; returns its bytes."""
    journal = Journal.begin(folder, "p", {"name": "x"}, ["s"])
    journal.note_process()
    journal.note_done({"s": 9}, {"/d": FileStamp(1, 2, 3)}, {"1": "", "2": "4:ff"})
    journal.note_lost(["s"], ["1"])
    journal.note_files(["config.json"])
    journal.note_done({"s": 9}, {}, {"3": ""})
    journal.sync()
    journal.close()
    return (folder / JOURNAL).read_bytes()


def test_reads_what_was_written(tmp_path: Path) -> None:
    """A journal is read as plan, files, last writer, shards, donors and tasks; what was lost does not count."""
    data = write(tmp_path)
    files = frozenset({"s", "config.json"})
    donors, done = {"/d": FileStamp(1, 2, 3)}, {"2": "4:ff", "3": ""}
    record = Record("p", {"name": "x"}, files, os.getpid(), {"s": 9}, donors, done, len(data))
    assert read_journal(tmp_path) == record


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
        assert set(record.done) == set(["", "", "", "12", "2", "2", "23"][ends.index(record.nbytes)])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_ends_what_counts(tmp_path: Path, data: st.DataObject) -> None:
    """With any byte changed, only whole lines before it count."""
    whole = bytearray(write(tmp_path))
    place = data.draw(st.integers(whole.index(b"\n") + 1, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    (tmp_path / JOURNAL).write_bytes(whole)
    record = read_journal(tmp_path)
    assert record is not None
    assert 0 < record.nbytes <= place
    assert record.done.keys() <= set("123")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200), st.data())
def test_anything_else_is_no_journal(tmp_path: Path, content: bytes, data: st.DataObject) -> None:
    """Any bytes, also in place of bytes of the first line, are read without an error, and no task counts as done."""
    whole = write(tmp_path)
    begin = data.draw(st.integers(0, whole.index(b"\n")))
    for damaged in (content, whole[:begin] + content + whole[begin + len(content) + 1 :]):
        (tmp_path / JOURNAL).write_bytes(damaged)
        record = read_journal(tmp_path)
        assert record is None or not record.done


def test_lines_are_added_after_the_undamaged_part(tmp_path: Path) -> None:
    """A damaged line is cut off before new ones are added."""
    data = write(tmp_path)
    (tmp_path / JOURNAL).write_bytes(data + b"0000")
    record = read_journal(tmp_path)
    assert record is not None
    journal = Journal.resume(tmp_path, record.nbytes)
    journal.note_done({}, {}, {"4": ""})
    journal.close()
    again = read_journal(tmp_path)
    assert again is not None
    assert set(again.done) == {"2", "3", "4"}
    assert (tmp_path / JOURNAL).read_bytes().startswith(data)


LINES = ["7", "[]", "{", '{"shard": "s"}', '{"stacker": 1, "plan": "p"}', '{"stacker": 2, "plan": "p", "shards": 7}']


@pytest.mark.parametrize("line", LINES)
def test_a_file_that_stacker_did_not_write_is_no_journal(tmp_path: Path, line: str) -> None:
    """An undamaged line of another format makes the file none of ours."""
    (tmp_path / JOURNAL).write_text(f"{zlib.crc32(line.encode()):08x} {line}\n")
    assert read_journal(tmp_path) is None


@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe", "folder", "junk"])
def test_what_is_not_a_journal_is_not_read(tmp_path: Path, kind: str) -> None:
    """A link (here to an endless file), a pipe, a folder or another text in the journal's place is no journal."""
    path = tmp_path / JOURNAL
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "junk":
        path.write_text("dear diary\n")
    else:
        path.symlink_to("/dev/zero" if kind == "link" else "nowhere")
    assert read_journal(tmp_path) is None


@pytest.mark.parametrize("content", [b"", bytes(100), b"1234", b'12345678 {"stacker":2,"pl'])
def test_a_damaged_first_line_is_an_empty_journal(tmp_path: Path, content: bytes) -> None:
    """A journal that a crash emptied, zeroed or cut off in its first line records nothing."""
    (tmp_path / JOURNAL).write_bytes(content)
    assert read_journal(tmp_path) == Record()


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    """A journal that is a link is refused, and its target is not truncated."""
    (tmp_path / "other").write_text("precious")
    (tmp_path / JOURNAL).symlink_to("other")
    with pytest.raises(OSError, match=os.strerror(40)):
        Journal.resume(tmp_path, 0)
    assert (tmp_path / "other").read_text() == "precious"
