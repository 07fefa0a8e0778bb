"""Reading of windows: against losses of transformers; and the race."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from stacker.live.live_stack import LiveStack
from stacker.search.evaluation.reading import is_behind, is_ruined, make_heats, read_windows
from tests.measure.prepared import live_of, windows_of


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> LiveStack:
    home: Path = tmp_path_factory.mktemp("donors")
    return live_of(home)


def test_losses_are_those_of_transformers(live: LiveStack) -> None:
    """The loss of each window is what transformers computes of it with labels, in whatever heats they are read."""
    windows = windows_of(live)
    found = read_windows(live, make_heats(windows, 2, 30))
    with torch.no_grad():
        tokens = [torch.tensor([window.tokens]) for window in windows]
        expected = [float(live.model(each, labels=each).loss) for each in tokens]
    assert np.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("count", "texts", "stops"),
    [(16, 2, [4, 8, 16]), (16, 3, [3, 6, 16]), (6, 2, [2, 6]), (2, 2, [2]), (40, 1, [10, 20, 40])],
)
def test_each_heat_has_all_texts(live: LiveStack, count: int, texts: int, stops: list[int]) -> None:
    """Heats end at a quarter, half and all of the windows, with equally many of each text and at least one."""
    windows = [*windows_of(live)] * 5
    heats = make_heats(windows[:count], texts, 64)
    assert [heat.stop for heat in heats] == stops
    assert [heat.start for heat in heats] == [0, *stops[:-1]]


def test_the_race_stops_the_worse_half() -> None:
    """A candidate stops if it is above the median of those before it, of which there must be three."""
    assert is_behind(1.1, [0.0, 1.0, 2.0])
    assert not is_behind(1.0, [0.0, 1.0, 2.0])
    assert not is_behind(9.0, [0.0, 1.0])


def test_only_a_loss_on_every_window_ruins() -> None:
    """A candidate stops alone if each of its first windows loses more than 0.1 nats a token."""
    assert is_ruined(np.array([0.2, 0.11, 3.0]))
    assert not is_ruined(np.array([0.2, 0.1, 3.0]))
