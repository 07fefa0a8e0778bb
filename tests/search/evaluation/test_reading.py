"""Reading of windows: against losses of transformers; and the race."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from stacker.live.live_stack import LiveStack
from stacker.search.evaluation.reading import is_behind, make_heats, read_windows
from stacker.search.results import Measured, Proposal, Trial
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


@pytest.mark.parametrize(("count", "texts", "first"), [(16, 2, 4), (16, 3, 3), (6, 2, 2), (2, 2, 2), (40, 1, 10)])
def test_the_first_heat_has_all_texts(live: LiveStack, count: int, texts: int, first: int) -> None:
    """The first heat has a quarter of the windows, equally many of each text and at least one."""
    windows = [*windows_of(live)] * 5
    heats = make_heats(windows[:count], texts, 64)
    assert heats[0].stop == first
    assert [heat.start for heat in heats[1:]] == ([first] if first < count else [])
    assert heats[-1].stop == count


def test_the_race_stops_the_worse_half() -> None:
    """A candidate stops if it is above the median of those before it, of which there must be three."""
    earlier = [Trial(at, "x", 0, Proposal(at, ""), Measured((0.0,), first=float(at))) for at in range(3)]
    assert is_behind(1.1, earlier)
    assert not is_behind(1.0, earlier)
    assert not is_behind(9.0, earlier[:2])
    failed = Trial(3, "x", 0, Proposal(3, ""), Measured(None))
    assert not is_behind(9.0, [*earlier[:2], failed])
