"""Remembers states between layers, so that stacks which begin alike run only the layers behind that beginning.

Nothing is approximate: layers are skipped only if they and all before them have the same parameters, at the same
places, as in a stack that has read the same tokens.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from stacker.live.forward_pass import Call, Stand, State, stand_ins, start_pass
from stacker.live.head import Head
from stacker.live.live_stack import LiveStack
from stacker.measure.losses import Batch
from stacker.search.evaluation.reading import Enter

ROOM = 192_000_000
"""The most bytes that states take."""
_ALIGNED = 64
SHARE = 2
"""The states of one stack take at most one of SHARE parts of the room, so that later stacks find some too."""
Beginning = tuple[int, ...]
"""Numbers of what a stack is made of: first of everything outside the layers, then of each layer from the first."""


@dataclass
class KnownStates:
    """The states behind layers of stacks that begin as `like` does; they take at most `room` bytes.

    A stack with a config that has not been seen, such as one of another depth, runs all layers of its first batch. Only
    if it computes the known states exactly are its layers skipped afterwards.
    """

    like: LiveStack
    room: int = ROOM
    _numbers: dict[Hashable, int] = field(default_factory=dict, repr=False)
    _states: dict[tuple[int, Beginning], State] = field(default_factory=dict, repr=False)
    _configs: dict[str, bool] = field(default_factory=dict, repr=False)
    _memory: torch.Tensor | None = field(default=None, repr=False)
    _used: int = 0
    _batches: int = 1

    def __post_init__(self) -> None:
        """Trust the config of `like`, unless the state alone does not decide what its later layers compute."""
        tokens = torch.zeros((1, 1), dtype=torch.long, device=self.like.model.device)
        self._root = () if start_pass(self.like, tokens).linked else self._number_layers(self.like)[:1]
        self._configs[_write_config(self.like)] = True

    def clear(self, batches: int) -> None:
        """Forget all states, because so many batches with other tokens come next."""
        self._states.clear()
        self._used, self._batches = 0, batches

    def prepare(self, head: Head) -> Enter:
        """What surrounds each reading of a batch by the model of `head`, so that it skips the layers it can."""
        whole = self._number_layers(head.live)
        return lambda batch: self._reading(head, whole, batch)

    def _number_layers(self, live: LiveStack) -> Beginning:
        """What a stack is made of, up to the first layer that has buffers or a parameter of unknown origin."""
        keys = {id(parameter): key for key, parameter in live.parameters.items()}
        outside = {name: each for name, each in live.model.named_parameters() if not _is_inside(name, live)}
        found: list[int] = []
        for parts in (outside, *(dict(layer.named_parameters()) for layer in live.layers)):
            made_of = tuple((name, keys.get(id(each))) for name, each in parts.items())
            if any(key is None for _, key in made_of) or (found and _has_buffers(live.layers[len(found) - 1])):
                break
            found.append(self._numbers.setdefault(made_of, len(self._numbers)))
        return tuple(found)

    @contextmanager
    def _reading(self, head: Head, whole: Beginning, batch: Batch) -> Iterator[None]:
        if not self._root or whole[:1] != self._root:
            yield
            return
        config, number = _write_config(head.live), int(batch.passages[0])
        if self._configs.get(config):
            known = [depth for depth in range(1, len(whole)) if (number, whole[: depth + 1]) in self._states]
            stand = self._make_skip(head, whole, number, max(known, default=0))
        else:
            stand = self._make_comparison(head, whole, number, config)
        with stand_ins(head.live.layers, stand):
            yield

    def _make_skip(self, head: Head, whole: Beginning, batch: int, depth: int) -> Stand:
        """Calls the layers from `depth` on, with the state that is known there, and keeps some of their states."""
        layers = list(head.live.layers)

        def skip(index: int, state: State, call: Call) -> Any:
            if index >= depth:
                result = layers[index](state, *call.arguments, **call.keywords)
                if index + 1 < len(whole):
                    self._keep(_pick_state(result), (batch, whole[: index + 2]), len(layers))
                return result
            left = self._states[batch, whole[: depth + 1]].clone() if index == depth - 1 else state
            return left if head.others is None else (left, *head.others)

        return skip

    def _keep(self, state: State, key: tuple[int, Beginning], layers: int) -> None:
        """Keep a state if there is room and it is of every so many layers of which a stack has `layers`."""
        step = -(-self._batches * layers * state.nbytes * SHARE // max(1, self.room))
        depth = len(key[1]) - 1
        if depth % step == 0 and self._used + state.nbytes <= self.room and key not in self._states:
            self._states[key] = self._take_memory(state).copy_(state)

    def _take_memory(self, state: State) -> State:
        """An empty state like another, in one block of memory: many small ones would divide what a pass needs."""
        if self._memory is None:
            self._memory = torch.empty(self.room, dtype=torch.uint8, device=state.device)
        place = self._memory[self._used : self._used + state.nbytes]
        self._used += -(-state.nbytes // _ALIGNED) * _ALIGNED
        return place.view(state.dtype).view(state.shape)

    def _make_comparison(self, head: Head, whole: Beginning, batch: int, config: str) -> Stand:
        """Calls all layers, and remembers of `config` whether they compute the states that are known."""
        layers = list(head.live.layers)

        def compare(index: int, state: State, call: Call) -> Any:
            result = layers[index](state, *call.arguments, **call.keywords)
            known = self._states.get((batch, whole[: index + 2])) if index + 1 < len(whole) else None
            if known is not None:
                self._configs[config] = self._configs.get(config, True) and torch.equal(known, _pick_state(result))
            return result

        return compare


def _write_config(live: LiveStack) -> str:
    return json.dumps(live.blueprint.plan.config, sort_keys=True, default=str)


def _is_inside(name: str, live: LiveStack) -> bool:
    return name.startswith(f"{live.layers_name}.")


def _has_buffers(layer: torch.nn.Module) -> bool:
    return any(True for _ in layer.buffers())


def _pick_state(result: Any) -> State:
    found: State = result[0] if isinstance(result, tuple | list) else result
    return found
