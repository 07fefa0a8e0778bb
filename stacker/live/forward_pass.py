"""Takes a batch of tokens through the layers of a live stack one by one, so that states can be seen and exchanged.

transformers' own forward pass prepares masks and positions. Its layers are replaced by stand-ins that record what they
are called with, or that return a given state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from stacker.errors import SpecError
from stacker.live.live_stack import LiveStack

State = torch.Tensor
"""The residual stream between two layers: [texts, tokens, hidden size], or as the family shapes it."""


@dataclass(frozen=True, slots=True)
class Call:
    """The arguments of a layer apart from the state."""

    arguments: tuple[Any, ...]
    keywords: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ForwardPass:
    """The forward pass of a batch of tokens, to be taken layer by layer; `state` is the embedding.

    `calls` has the Call of each layer by index, except of layers that the model skips for these tokens.
    `others` is what layers return after the state, or None if they return only the state. If `linked`, layers pass
    some of the others on to later layers, so that the state alone does not decide what a layer computes.
    """

    live: LiveStack
    tokens: torch.Tensor
    state: State
    calls: Mapping[int, Call] = field(repr=False)
    others: tuple[Any, ...] | None = field(repr=False)
    linked: bool = False

    @torch.no_grad()
    def run_layer(self, index: int, state: State) -> State:
        """The state behind layer `index`, if `state` enters it; a layer that the model skips changes nothing.

        SpecError if the layers are linked.
        """
        if self.linked:
            kind = self.live.model.config.model_type
            raise SpecError.of(
                f"layers of '{kind}' pass on more than the residual stream", "they only run all together"
            )
        call = self.calls.get(index)
        if call is None:
            return state
        result = self.live.layers[index](state, *call.arguments, **call.keywords)
        found: State = result[0] if isinstance(result, tuple | list) else result
        return found

    @torch.no_grad()
    def finish(self, state: State, **options: Any) -> torch.Tensor:
        """The logits, if `state` comes out of the last layer; `options` go to the model, such as `logits_to_keep`."""

        def give(_index: int, _state: State, _call: Call) -> Any:
            return state if self.others is None else (state, *self.others)

        with stand_ins(self.live.layers, give):
            logits: torch.Tensor = self.live.model(self.tokens, use_cache=False, **options).logits
        return logits


@torch.no_grad()
def start_pass(live: LiveStack, tokens: torch.Tensor) -> ForwardPass:
    """Embed the tokens [texts, tokens], and find out with what arguments each layer is called.

    The first layer runs once, because families differ in what a layer returns.
    """
    states: list[State] = []
    calls: dict[int, Call] = {}
    results: list[Any] = []
    layers = list(live.layers)

    def record(index: int, state: State, call: Call) -> Any:
        states.append(state)
        calls[index] = call
        if not results:
            results.append(layers[index](state, *call.arguments, **call.keywords))
        return results[0]

    with stand_ins(live.layers, record):
        live.model(tokens, use_cache=False)
    result = results[0]
    others = tuple(result[1:]) if isinstance(result, tuple | list) else None
    return ForwardPass(live, tokens, states[0], calls, others, _are_linked(calls, others or ()))


def _are_linked(calls: Mapping[int, Call], others: tuple[Any, ...]) -> bool:
    """Whether a layer is called with one of the values that the first layer returned after the state."""
    given = {id(value) for value in others if isinstance(value, torch.Tensor)}
    return any(id(value) in given for call in calls.values() for value in (*call.arguments, *call.keywords.values()))


Stand = Callable[[int, State, Call], Any]
"""A function that is called instead of a layer, with the layer's index, the state and the other arguments."""


class _StandIn(torch.nn.Module):
    """Looks like a layer to the model that contains it, but calls a function."""

    def __init__(self, layer: torch.nn.Module, index: int, stand: Stand) -> None:
        super().__init__()
        object.__setattr__(self, "_of", layer)  # so that it is no submodule
        self._index = index
        self._stand = stand

    def forward(self, *arguments: Any, **keywords: Any) -> Any:
        if arguments:
            return self._stand(self._index, arguments[0], Call(arguments[1:], keywords))
        state = keywords.pop("hidden_states")
        return self._stand(self._index, state, Call((), keywords))

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self._of, name)


@contextmanager
def stand_ins(layers: torch.nn.ModuleList, stand: Stand) -> Iterator[None]:
    """Replace the layers of a model during a `with` block."""
    own: Sequence[torch.nn.Module] = list(layers)
    for index, layer in enumerate(own):
        layers[index] = _StandIn(layer, index, stand)
    try:
        yield
    finally:
        for index, layer in enumerate(own):
            layers[index] = layer
