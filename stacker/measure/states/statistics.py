"""Describes what each layer of a model does to the residual stream, from the states of one walk through the layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import torch
from torch.nn.functional import cross_entropy, normalize

from stacker.live.forward_pass import State
from stacker.measure.probes.results import LayerFigures, Survey
from stacker.measure.states.walk import Walk

LENS_TOKENS = 128
"""How many tokens the logit lens reads: through the head, tokens cost far more than through the other probes."""
WRITE_WINDOWS = 4
"""How many windows run through the layers once more, to see what their sublayers add."""
_PIECE = 256
_CLOSE = 0.2
"""The largest error, in parts of what a layer adds, with which two sublayers count as adding up to it.

In bf16, the sum itself is rounded to some hundredths; a wrong pair of modules is off by about 1.
"""


def survey_layers(name: str, walks: Sequence[Walk]) -> Survey:
    """Describe all layers of a model from the scored tokens of the walks."""
    cosines, angles = compare_states([torch.stack([*map(walk.pick, walk.states)], dim=1) for walk in walks])
    norms = [_median_norm([walk.pick(walk.states[index]) for walk in walks]) for index in range(walks[0].depth + 1)]
    writes = measure_writes(walks)
    lens = read_lens(walks)
    layers = tuple(
        LayerFigures(index, 1 - float(cosines[index, index + 1]), norms[index + 1], *writes[index], *lens[index + 1])
        for index in range(walks[0].depth)
    )
    tokens = sum(len(walk.batch.targets) for walk in walks)
    return Survey(name, walks[0].depth, tokens, layers, tuple(map(tuple, angles.tolist())))


def compare_states(states: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean cosine and the mean angular distance between each two states, both [states, states] in fp64.

    Each of `states` is [tokens, states, hidden size]. The distance is the angle in parts of π (arXiv 2403.17887, eq. 7;
    averaged over all tokens instead of the last one of each text).
    """
    width, count = states[0].shape[1], sum(map(len, states))
    cosines, angles = (torch.zeros(width, width, dtype=torch.float64) for _ in range(2))
    for some in states:
        for piece in torch.split(some, _PIECE):
            found = (unit := normalize(piece, dim=-1)) @ unit.mT
            found = found.clamp(-1, 1)
            cosines += found.double().sum(dim=0).cpu()
            angles += found.double().acos().sum(dim=0).cpu()
    return cosines / count, (angles / count / torch.pi).fill_diagonal_(0)


def _median_norm(states: Sequence[torch.Tensor]) -> float:
    return float(torch.cat([each.norm(dim=-1) for each in states]).median())


def read_lens(walks: Sequence[Walk]) -> list[tuple[float, float]]:
    """For each state, the loss if the head reads it, and how often its likeliest token is that of the last state.

    At most LENS_TOKENS tokens are read, evenly spread over those that are scored.
    """
    total = sum(len(walk.batch.targets) for walk in walks)
    step = -(-total // LENS_TOKENS)
    found = [torch.stack([*_read_lens(walk, walk.batch.rows[::step], step)]) for walk in walks]
    losses, agreements = torch.cat(found, dim=2).double().mean(dim=2).T.cpu()
    return [*zip(losses.tolist(), agreements.tolist(), strict=True)]


def _read_lens(walk: Walk, rows: torch.Tensor, step: int) -> Iterator[torch.Tensor]:
    """Yield for each state the losses and agreements of some tokens: [2, tokens]."""
    wanted = walk.batch.targets[::step]
    likeliest = _read_logits(walk, walk.states[-1], rows).argmax(dim=-1)
    for state in walk.states:  # one after the other, because the logits of all states would take gigabytes
        logits = _read_logits(walk, state, rows)
        agreements = (logits.argmax(dim=-1) == likeliest).float()
        yield torch.stack([cross_entropy(logits, wanted, reduction="none"), agreements])


def _read_logits(walk: Walk, state: State, rows: torch.Tensor) -> torch.Tensor:
    return walk.head.compute_logits(walk.head.finish_rows(walk.forward, state)[rows]).float()


Write = tuple[float | None, float | None]
"""The lengths of what attention and MLP add, in parts of the length of the entering state, of the median token."""


def measure_writes(walks: Sequence[Walk]) -> list[Write]:
    """What the two sublayers of each layer add to the residual stream.

    Sublayers are the two modules of a layer whose outputs add up to what the layer adds, so no family has to be known.
    Where no two do, for example because outputs are multiplied first, the lengths are None. At most WRITE_WINDOWS
    windows run through the layers once more.
    """
    walk = walks[0].take(WRITE_WINDOWS)
    return [_measure_layer(walk, index) for index in range(walk.depth)]


@dataclass(frozen=True, slots=True)
class _Heard:
    outputs: list[torch.Tensor] = field(default_factory=list)

    def hear(self, _module: Any, _inputs: Any, output: Any) -> None:
        """Called by torch with the output of a module."""
        first = output[0] if isinstance(output, tuple) else output
        if isinstance(first, torch.Tensor):
            self.outputs.append(first)


def _measure_layer(walk: Walk, index: int) -> Write:
    before, after = walk.states[index], walk.states[index + 1]
    with _listen(walk.forward.live.layers[index]) as heard:
        walk.forward.run_layer(index, before)
    entering, added = walk.pick(before), walk.pick(after) - walk.pick(before)
    outputs = [walk.pick(each) for each in heard.outputs if each.shape == before.shape]
    pairs = [(_miss(one + other, added), one, other) for one, other in combinations(outputs, 2)]
    if not pairs:
        return None, None
    missed, one, other = min(pairs, key=lambda pair: pair[0])
    if missed > _CLOSE:
        return None, None
    return _median_part(one, entering), _median_part(other, entering)


@contextmanager
def _listen(layer: torch.nn.Module) -> Iterator[_Heard]:
    heard = _Heard()
    hooks = [child.register_forward_hook(heard.hear) for child in layer.children()]
    try:
        yield heard
    finally:
        for hook in hooks:
            hook.remove()


def _miss(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return _median_part(found - wanted, wanted)


def _median_part(part: torch.Tensor, whole: torch.Tensor) -> float:
    return float((part.norm(dim=-1) / whole.norm(dim=-1).clamp_min(1e-12)).median())
