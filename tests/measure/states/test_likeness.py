"""Likeness is 1 for the same stream, sees through rotations where it should, and matches plain formulas in fp64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from stacker.errors import SpecError
from stacker.measure.states.likeness import (
    align_kernels,
    average_angles,
    check_same_tokens,
    compare_streams,
    rotate_states,
)
from stacker.measure.texts import Window
from tests.live.lives import stack_of
from tests.measure.prepared import live_of, prepared_of


def states_of(seed: int, states: int = 3, tokens: int = 50, width: int = 8) -> torch.Tensor:
    """Random centred states."""
    drawn = torch.randn(states, tokens, width, generator=torch.Generator().manual_seed(seed))
    return drawn - drawn.mean(dim=1, keepdim=True)


def test_no_rotation_is_better() -> None:
    """The cosine after the best rotation is reached by U Vᵀ of numpy's decomposition, and by no other rotation."""
    one, other = states_of(0), states_of(1)
    found = rotate_states(one, other)
    source = np.random.default_rng(0)
    for row in range(3):
        for column in range(3):
            a, b = one[row].double().numpy(), other[column].double().numpy()
            left, _, right = np.linalg.svd(a.T @ b)
            best = cosine(a @ (left @ right), b)
            assert float(found[row, column]) == pytest.approx(best, rel=1e-5)
            turns = (np.linalg.qr(source.normal(size=(8, 8)))[0] for _ in range(50))
            assert all(cosine(a @ turn, b) < best for turn in turns)


def cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()))


def test_kernels_against_the_formula() -> None:
    """CKA is ‖YᵀX‖² / (‖XᵀX‖ ‖YᵀY‖) of centred states, also for different widths."""
    one, other = states_of(0), states_of(1, width=5)
    found = align_kernels(one, other)
    x, y = one[1].double(), other[2].double()
    wanted = (y.T @ x).norm() ** 2 / ((x.T @ x).norm() * (y.T @ y).norm())
    assert float(found[1, 2]) == pytest.approx(float(wanted), rel=1e-5)


def test_a_rotated_stream() -> None:
    """States that are turned have cosine 1 after rotation and CKA 1, but are far apart as they are."""
    one = states_of(0)
    turn, _ = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(5)))
    torch.testing.assert_close(rotate_states(one, one @ turn).diagonal(), torch.ones(3))
    torch.testing.assert_close(align_kernels(one, one @ turn).diagonal(), torch.ones(3))
    unit = torch.nn.functional.normalize(one, dim=-1)
    assert average_angles(unit, unit @ turn).min() > 0.3
    assert average_angles(unit, unit).diagonal().max() < 1e-3


def test_a_model_is_like_itself(tmp_path: Path) -> None:
    """The same donor has 1 on the diagonals; another one has not, and shuffled tokens have less."""
    live = live_of(tmp_path)
    walks = prepared_of(live).walks
    same = compare_streams(("a", "a"), walks, walks)
    assert same.distances is not None
    assert [same.distances[state][state] for state in range(7)] == pytest.approx([0.0] * 7, abs=1e-3)
    for matrix in (same.rotated, same.cka):
        assert [matrix[state][state] for state in range(7)] == pytest.approx([1.0] * 7, abs=1e-4)
    other = compare_streams(("a", "b"), walks, prepared_of(stack_of(tmp_path, ["b"]).live_stack(dtype="float32")).walks)
    assert other.distances is not None
    assert min(map(min, other.distances)) > 0.1
    assert same.chance < 0.95


def test_other_widths(tmp_path: Path) -> None:
    """Streams of different widths have no distance as they are; the others are there."""
    live = live_of(tmp_path / "wide", hidden=32)
    narrow = live_of(tmp_path / "narrow", hidden=16)
    found = compare_streams(("a", "b"), prepared_of(live).walks, prepared_of(narrow).walks)
    assert found.distances is None
    assert 0 < found.cka[3][3] <= 1
    assert 0 < found.rotated[3][3] <= 1


def test_other_tokens_are_refused() -> None:
    """Models whose tokenizers divide the text differently cannot be compared."""
    check_same_tokens(("a", "b"), [Window(0, (1, 2), 1)], [Window(0, (1, 2), 1)])
    with pytest.raises(SpecError, match="divide the text differently"):
        check_same_tokens(("a", "b"), [Window(0, (1, 2), 1)], [Window(0, (1, 3), 1)])
