"""Takes texts through a live stack once and keeps the residual stream between all layers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import torch

from stacker.live.forward_pass import ForwardPass, State, start_pass
from stacker.live.head import Head, find_head
from stacker.live.live_stack import LiveStack
from stacker.measure.losses import Batch, compute_losses


@dataclass(frozen=True, slots=True)
class Walk:
    """A batch of windows that has gone through all layers; `states` has the states 0 to depth."""

    head: Head
    batch: Batch
    forward: ForwardPass = field(repr=False)
    states: tuple[State, ...] = field(repr=False)

    @property
    def depth(self) -> int:
        """The number of layers."""
        return len(self.states) - 1

    def take(self, count: int) -> Walk:
        """The first `count` windows alone; the whole walk if its states are not divided into windows."""
        if any(len(state) != len(self.batch.tokens) for state in self.states) or count >= len(self.batch.tokens):
            return self
        tokens = self.batch.tokens[:count]
        kept = self.batch.rows < tokens.numel()
        batch = Batch(tokens, self.batch.rows[kept], self.batch.targets[kept], self.batch.passages[kept])
        forward = start_pass(self.forward.live, tokens)
        return Walk(self.head, batch, forward, tuple(state[:count] for state in self.states))

    def run(self, state: State, layers: Iterable[int]) -> State:
        """The state behind `layers`, if `state` enters the first of them."""
        for layer in layers:
            state = self.forward.run_layer(layer, state)
        return state

    def read_losses(self, state: State) -> torch.Tensor:
        """The losses of the scored tokens [tokens] in fp32, if `state` leaves the last layer."""
        rows = self.head.finish_rows(self.forward, state)[self.batch.rows]
        return compute_losses(self.head, rows, self.batch.targets)

    def sum_losses(self, state: State, count: int) -> torch.Tensor:
        """The sums of the losses of each of `count` passages [passages] in fp64; passages of other batches have 0."""
        losses = self.read_losses(state).double()
        sums = torch.zeros(count, dtype=torch.float64, device=losses.device)
        return sums.index_add_(0, self.batch.passages, losses).cpu()

    def pick(self, state: State) -> torch.Tensor:
        """The states of the scored tokens [tokens, hidden size] in fp32."""
        return state.reshape(-1, state.shape[-1])[self.batch.rows].float()


def walk_batches(live: LiveStack, batches: Iterable[Batch]) -> Iterator[Walk]:
    """Take batches through all layers of a live stack, one after the other."""
    head = find_head(live)
    for batch in batches:
        here = batch.to(live.model.device)
        forward = start_pass(live, here.tokens)
        states = [forward.state]
        for layer in range(len(live.layers)):
            states.append(forward.run_layer(layer, states[-1]))
        yield Walk(head, here, forward, tuple(states))
