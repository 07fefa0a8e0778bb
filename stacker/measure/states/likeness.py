"""Compares the residual streams of two models on the same tokens, layer by layer.

Every token's state is divided by its length first, as the norm of each layer does; otherwise a few tokens with very
long states decide everything.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.functional import normalize

from stacker.errors import SpecError
from stacker.measure.probes.results import Likeness, Matrix
from stacker.measure.states.walk import Walk
from stacker.measure.texts import Window

MOST_TOKENS = 1024
"""How many tokens are compared at most; memory grows with the square."""
DIRECTIONS = 64
"""How many leading directions of each state are rotated onto each other."""


def check_same_tokens(names: tuple[str, str], first: Sequence[Window], second: Sequence[Window]) -> None:
    """Raise a SpecError unless two tokenizers made the same windows of the texts."""
    if [window.tokens for window in first] != [window.tokens for window in second]:
        message = f"the tokenizers of {names[0]} and {names[1]} divide the text differently"
        raise SpecError.of(message, "only models with the same tokens can be compared token by token")


def compare_streams(names: tuple[str, str], first: Sequence[Walk], second: Sequence[Walk]) -> Likeness:
    """Compare each state of one model with each of another, on at most MOST_TOKENS of the scored tokens."""
    one, other = _gather_states(first), _gather_states(second)
    leading, other_leading = _reduce(one), _reduce(other)
    rotated = rotate_states(leading, other_leading)
    order = torch.randperm(one.shape[1], generator=torch.Generator().manual_seed(0))
    middle = len(leading) // 2
    chance = rotate_states(leading[middle : middle + 1], other_leading[:, order]).mean()
    distances = _to_matrix(average_angles(one, other)) if one.shape[2] == other.shape[2] else None
    aligned = _to_matrix(align_kernels(one, other))
    return Likeness(*names, one.shape[1], distances, _to_matrix(rotated), aligned, float(chance))


def measure_distances(first: Sequence[Walk], second: Sequence[Walk]) -> Matrix:
    """The mean angular distance between each state of one model and each of another of the same hidden size."""
    return _to_matrix(average_angles(_gather_states(first), _gather_states(second)))


def average_angles(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The mean angular distance over tokens, 0 to 1, of each two states: [states, states of the other].

    Both are [states, tokens, hidden size], of length 1.
    """
    cosines = one.transpose(0, 1) @ other.permute(1, 2, 0)
    return cosines.clamp(-1, 1).double().acos().mean(dim=0) / torch.pi


def _gather_states(walks: Sequence[Walk]) -> torch.Tensor:
    """The states of some scored tokens, each of length 1: [states, tokens, hidden size] in fp32 on the processor."""
    states = torch.cat([torch.stack([*map(walk.pick, walk.states)]).cpu() for walk in walks], dim=1)
    step = -(-states.shape[1] // MOST_TOKENS)
    return normalize(states[:, ::step], dim=-1)


def align_kernels(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The linear centred kernel alignment of each two states (arXiv 1905.00414): [states, states of the other].

    Both are [states, tokens, hidden size]; the hidden sizes may differ.
    """
    kernels = [normalize(_make_kernels(each).flatten(1), dim=1) for each in (one, other)]
    return kernels[0] @ kernels[1].T


def _make_kernels(states: torch.Tensor) -> torch.Tensor:
    centred = states - states.mean(dim=1, keepdim=True)
    return centred @ centred.mT


def rotate_states(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The cosine of each two states after the best rotation: the sum of the singular values of their product.

    Both are [states, tokens, directions], centred (orthogonal Procrustes; Schönemann 1966).
    """
    rows = [
        torch.linalg.svdvals(each.T @ other).sum(dim=-1) / (each.norm() * other.flatten(1).norm(dim=1)) for each in one
    ]
    return torch.stack(rows)


def _reduce(states: torch.Tensor) -> torch.Tensor:
    """The coordinates of centred states along their leading directions: [states, tokens, DIRECTIONS at most]."""
    count = min(DIRECTIONS, *states.shape[1:])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        parts = [torch.pca_lowrank(each, count) for each in states]
    return torch.stack([left * values for left, values, _ in parts])


def _to_matrix(values: torch.Tensor) -> Matrix:
    return tuple(tuple(row) for row in values.double().tolist())
