"""Edits are listed completely, ordered by the states they join, and written as items of a spec."""

from __future__ import annotations

import pytest

from stacker.measure.probes.edits import Edit, Way, list_edits, list_layers, make_items, order_edits

BOTH = [(Way.REPEAT, 1.0), (Way.DROP, 1.0)]


@pytest.mark.parametrize(
    ("depth", "longest", "count"),
    [(30, 8, 424), (6, 2, 22), (3, 9, 11), (1, 1, 1)],
    ids=["smollm2", "six", "all", "one"],
)
def test_all_runs_are_listed(depth: int, longest: int, count: int) -> None:
    """Every run of at most so many layers is repeated and dropped once, except that all layers are never dropped."""
    edits = list_edits(depth, longest, BOTH)
    expected = {
        (way, start, stop)
        for way in (Way.REPEAT, Way.DROP)
        for start in range(depth)
        for stop in range(start + 1, depth + 1)
        if stop - start <= longest and not (way is Way.DROP and stop - start == depth)
    }
    assert {(edit.way, edit.start, edit.stop) for edit in edits} == expected
    assert len(edits) == count


def test_the_least_distance_comes_first() -> None:
    """The order follows the distance between the state that leaves and the state that the entered layer knows."""
    distances = [[abs(one - other) * (1.0 + one) for other in range(4)] for one in range(4)]
    ordered = order_edits(list_edits(3, 3, [(Way.DROP, 1.0)]), distances)
    assert [str(edit) for edit in ordered] == ["drop 0:1", "drop 1:2", "drop 0:2", "drop 2:3", "drop 1:3"]


@pytest.mark.parametrize(
    ("edit", "items", "path"),
    [
        (Edit(Way.REPEAT, 1, 3), ["d[0:3]", "d[1:4]"], [1, 2, 3]),
        (Edit(Way.DROP, 1, 3), ["d[0:1]", "d[3:4]"], [3]),
        (Edit(Way.DROP, 0, 2), ["d[2:4]"], [2, 3]),
        (Edit(Way.DROP, 2, 4), ["d[0:2]"], []),
        (Edit(Way.HOP, 3, 4, 0.5), ["d[0:4]", {"slice": "d[3:4]", "hop": 0.5}], [3]),
        (Edit(Way.DAMP, 1, 2, 0.5), ["d[0:2]", {"slice": "d[1:2]", "scale": {"attn.o": 0.5}}, "d[2:4]"], [1, 2, 3]),
        (Edit(Way.DAMP, 3, 4, 0.5), ["d[0:4]", {"slice": "d[3:4]", "scale": {"attn.o": 0.5}}], [3]),
    ],
    ids=str,
)
def test_items_and_path(edit: Edit, items: list[object], path: list[int]) -> None:
    """The items of the spec, and the layers that the changed state goes through."""
    assert make_items(edit, 4, "d", ["attn.o"]) == items
    assert [layer for layer, _ in list_layers(edit, 4)] == path
