"""Measures what edits change, starting each from the states that the unchanged model has already computed.

To repeat layers [i, j), state j enters layer i again; to drop them, state i enters layer j.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from stacker.live.forward_pass import ForwardPass, State, start_pass
from stacker.live.live_stack import LiveStack
from stacker.measure.probes.edits import Edit, Way, list_layers
from stacker.measure.states.walk import Walk

Sums = tuple[float, ...]
"""The sum of the losses of the scored tokens of each passage, in nats."""
Copies = Mapping[float, LiveStack]
"""For each factor of damped copies: a live stack of all layers, and behind them all layers damped."""


@dataclass(frozen=True, slots=True)
class Damped:
    """The damped layers of one batch: a forward pass of a stack whose layers from `depth` on are damped."""

    forward: ForwardPass
    depth: int

    def run(self, layer: int, state: State) -> State:
        """The state behind the damped copy of a layer."""
        return self.forward.run_layer(self.depth + layer, state)


def measure_unchanged(walks: Sequence[Walk], count: int) -> Sums:
    """The losses of `count` passages by the model as it is."""
    return _add([walk.sum_losses(walk.states[-1], count) for walk in walks])


def start_edits(walks: Sequence[Walk], count: int, copies: Copies | None = None) -> Callable[[Edit], Sums]:
    """The function that measures the losses of `count` passages by an edit."""
    damped = [{factor: _start_damped(live, walk) for factor, live in (copies or {}).items()} for walk in walks]

    def measure(edit: Edit) -> Sums:
        pairs = zip(walks, damped, strict=True)
        return _add([walk.sum_losses(run_edit(walk, edit, layers), count) for walk, layers in pairs])

    return measure


def _start_damped(live: LiveStack, walk: Walk) -> Damped:
    return Damped(start_pass(live, walk.batch.tokens), walk.depth)


def _add(parts: Sequence[torch.Tensor]) -> Sums:
    return tuple(map(float, torch.stack([*parts]).sum(dim=0)))


def run_edit(walk: Walk, edit: Edit, copies: Mapping[float, Damped]) -> State:
    """The state that leaves the last layer of the edited model."""
    state = walk.states[edit.left]
    if edit.way is Way.HOP:
        state = state * edit.factor
    for layer, is_copy in list_layers(edit, walk.depth):
        state = copies[edit.factor].run(layer, state) if is_copy else walk.forward.run_layer(layer, state)
    return state
