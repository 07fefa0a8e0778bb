"""States that are known: skipped layers change no loss by a single bit, and what may differ is never skipped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stacker.compose import Stack
from stacker.live.head import find_head
from stacker.live.live_stack import LiveStack
from stacker.search.evaluation.known_states import ROOM, KnownStates
from stacker.search.evaluation.reading import Heat, make_heats, read_heat, read_windows
from tests.live.lives import stack_of
from tests.measure.donors_with_words import write_worded
from tests.measure.prepared import windows_of

ORDERS: dict[str, list[Any]] = {
    "the same": ["a"],
    "another last layer": ["a[0:5]", "b[5]"],
    "another first layer": ["b[0]", "a[1:6]"],
    "deeper": ["a[0:4]", "a[2:6]"],
    "shallower": ["a[0:2]", "a[4:6]"],
    "blended": ["a[0:3]", {"blend": ["a[3:6]", "b[3:6]"], "op": "linear", "weight": 0.5}],
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_worded(tmp_path_factory.mktemp("donors"), "a", "b")


@pytest.fixture(scope="module")
def start(home: Path) -> LiveStack:
    return stack_of(home, ["a"]).live_stack(dtype="float32")


@pytest.fixture(scope="module")
def heats(start: LiveStack) -> tuple[Heat, ...]:
    return make_heats([*windows_of(start)][:8], 2, 30)


def order_of(home: Path, name: str) -> Stack:
    """One of the orders, between the ends of the donor a."""
    return stack_of(home, ORDERS[name], embed="a", head="a")


def count_runs(live: LiveStack) -> list[int]:
    """A list that gets the number of each layer that runs on more than one token."""
    runs: list[int] = []
    for number, layer in enumerate(live.layers):
        layer.register_forward_hook(lambda _layer, given, _out, number=number: _note(runs, number, given))
    return runs


def _note(runs: list[int], number: int, given: Any) -> None:
    if not given or given[0].shape[1] > 1:
        runs.append(number)


def read(known: KnownStates, live: LiveStack, heats: tuple[Heat, ...]) -> np.ndarray[Any, Any]:
    """The losses of all windows, with layers skipped."""
    head = find_head(live)
    enter = known.prepare(head)
    return np.concatenate([read_heat(head, heat, enter) for heat in heats])


@pytest.mark.parametrize("name", ORDERS)
@pytest.mark.parametrize("room", [ROOM, 6000, 0], ids=["all", "some", "none"])
def test_losses_are_the_same(home: Path, start: LiveStack, heats: tuple[Heat, ...], name: str, room: int) -> None:
    """Whatever is skipped, the losses equal those of all layers exactly, also when read a second time."""
    known = KnownStates(start, room)
    known.clear(4)
    read(known, start, heats)
    live = start.rearranged(order_of(home, name))
    expected = read_windows(live, heats)
    for _ in range(2):
        assert np.array_equal(read(known, live, heats), expected)


@pytest.mark.parametrize(("name", "first"), [("another last layer", 5), ("blended", 3), ("another first layer", 0)])
def test_equal_beginnings_are_skipped(
    home: Path, start: LiveStack, heats: tuple[Heat, ...], name: str, first: int
) -> None:
    """A stack of the start's depth runs only the layers from the first that differs."""
    known = KnownStates(start)
    read(known, start, heats)
    live = start.rearranged(order_of(home, name))
    runs = count_runs(live)
    read(known, live, heats)
    assert set(runs) == {*range(first, 6)}


def test_another_depth_is_compared_first(home: Path, start: LiveStack, heats: tuple[Heat, ...]) -> None:
    """A stack of another depth runs all layers of its first batch, and later only those that differ."""
    known = KnownStates(start)
    read(known, start, heats)
    batches = sum(len(heat.batches) for heat in heats)
    live = start.rearranged(order_of(home, "deeper"))
    runs = count_runs(live)
    read(known, live, heats)
    assert runs.count(0) == 1
    assert runs.count(7) == batches


def test_a_config_that_changes_layers_is_not_trusted(home: Path, start: LiveStack, heats: tuple[Heat, ...]) -> None:
    """If the first layers compute something else under another config, nothing of theirs is skipped."""
    known = KnownStates(start)
    read(known, start, heats)
    live = start.rearranged(order_of(home, "deeper"))
    attention: Any = live.layers[0].self_attn
    attention.scaling *= 2
    expected = read_windows(live, heats)
    assert not np.array_equal(expected, read_windows(start.rearranged(order_of(home, "deeper")), heats))
    assert np.array_equal(read(known, live, heats), expected)


def test_other_tokens_are_read_anew(start: LiveStack, heats: tuple[Heat, ...]) -> None:
    """After `clear`, states of the tokens before are forgotten."""
    known = KnownStates(start)
    read(known, start, heats)
    known.clear(1)
    turned = [replace(window, passage=at) for at, window in enumerate(reversed([*windows_of(start)][:8]))]
    others = make_heats(turned, 2, 30)
    assert np.array_equal(read(known, start, others), read_windows(start, others))
    assert not np.array_equal(read_windows(start, others), read_windows(start, heats))


def test_other_ends_share_nothing(home: Path, start: LiveStack, heats: tuple[Heat, ...]) -> None:
    """A stack with another embedding runs all its layers, although they are the start's."""
    known = KnownStates(start)
    read(known, start, heats)
    live = start.rearranged(stack_of(home, ["a"], embed="b", head="a"))
    runs = count_runs(live)
    assert np.array_equal(read(known, live, heats), read_windows(live, heats))
    assert runs.count(0) == 2 * sum(len(heat.batches) for heat in heats)
