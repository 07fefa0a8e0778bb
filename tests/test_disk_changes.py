"""What is on a disk after a power cut: what was synced, and of the rest what is said to survive."""

from __future__ import annotations

from tools.faults.disk_changes import ROOT, Change, Name, Resize, Sync, Write, rebuild

_FILE: list[Change] = [Name(ROOT, (("a", 1),)), Resize(1, 4), Write(1, 0, b"abcd"), Sync(1), Write(1, 2, b"xyz")]


def test_only_synced_names_and_bytes_are_sure() -> None:
    """A file whose folder was not synced is gone; one whose folder was has the bytes of its last sync."""
    assert rebuild(_FILE, lambda: False) == {}
    assert rebuild([*_FILE, Sync(ROOT)], lambda: False) == {"a": b"abcd"}
    assert rebuild(_FILE, lambda: True) == {"a": b"abxyz"}


def test_a_folder_keeps_its_content_under_another_name() -> None:
    """A renaming that was not synced leaves the folder, with what was synced in it, under its old name."""
    made: list[Change] = [
        Name(ROOT, (("old", 2),)),
        Name(2, ()),
        Name(2, (("a", 1),)),
        Write(1, 0, b"x"),
        Sync(1),
        Sync(2),
        Sync(ROOT),
    ]
    renamed: list[Change] = [*made, Name(ROOT, (("old", None), ("new", 2)))]
    assert rebuild(renamed, lambda: False) == {"old": None, "old/a": b"x"}
    assert rebuild([*renamed, Sync(ROOT)], lambda: False) == {"new": None, "new/a": b"x"}


def test_changes_of_a_folder_survive_in_order() -> None:
    """A change of a folder is lost if an earlier one is."""
    answers = iter([False, True])
    assert rebuild([Name(ROOT, (("a", 1),)), Name(ROOT, (("b", 2),))], lambda: next(answers)) == {}
