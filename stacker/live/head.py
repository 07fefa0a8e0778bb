"""Computes logits from states a few rows at a time, so that memory does not grow with the vocabulary.

The head is what transformers calls a model's output embeddings. What a family does with the logits behind it, such as
scaling or capping, is done by the model itself: its layers are replaced by stand-ins, and the head is given the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from stacker.live.forward_pass import Call, ForwardPass, Stand, State, stand_ins, start_pass
from stacker.live.live_stack import LiveStack

ROWS, LOGITS = 512, 1 << 25
"""How many rows of logits are computed at a time, and how many logits at most: with large vocabularies, fewer rows."""
Rows = torch.Tensor
"""States that enter the head, one a row: [rows, hidden size]."""


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a live stack; `others` is what its layers return after the state, or None.

    `module` is None for a model whose output embeddings are not called as a module: its rows are the logits.
    """

    live: LiveStack
    module: Any
    others: tuple[Any, ...] | None

    @property
    def piece(self) -> int:
        """How many rows of logits are computed at a time, so that memory does not grow with the vocabulary."""
        vocabulary = getattr(self.live.model.config.get_text_config(), "vocab_size", None) or LOGITS // ROWS
        return min(ROWS, max(1, LOGITS // vocabulary))

    def read_rows(self, tokens: torch.Tensor) -> Rows:
        """Take tokens [texts, tokens] through the model; the states that enter the head, one a token, text by text."""
        return self._record(lambda: self.live.model(tokens, use_cache=False).logits)

    def finish_rows(self, forward: ForwardPass, state: State) -> Rows:
        """The states that enter the head, if `state` comes out of the last layer of a forward pass."""
        return self._record(lambda: forward.finish(state))

    @torch.no_grad()
    def compute_logits(self, rows: Rows) -> torch.Tensor:
        """The logits of rows, [rows, vocabulary], as the model returns them; pass at most `piece` rows at a time."""
        if self.module is None:
            return rows
        with replace_forward(self.module, lambda own, _state: own(rows[:, None])), self._skip_layers():
            return self._run_ends(len(rows))

    @torch.no_grad()
    def _record(self, run: Callable[[], torch.Tensor]) -> Rows:
        if self.module is None:
            return run().flatten(0, 1)
        seen: list[torch.Tensor] = []

        def record(_own: Any, state: torch.Tensor) -> torch.Tensor:
            seen.append(state)
            return state[..., :1]

        with replace_forward(self.module, record):
            run()
        return seen[-1].flatten(0, 1)

    def _run_ends(self, count: int) -> torch.Tensor:
        """Take `count` texts of one token, whatever it is, through the model."""
        tokens = torch.zeros((count, 1), dtype=torch.long, device=self.live.model.device)
        logits: torch.Tensor = self.live.model(tokens, use_cache=False).logits
        return logits[:, 0]

    @contextmanager
    def _skip_layers(self) -> Iterator[None]:
        with stand_ins(self.live.layers, _make_skip(self.others)):
            yield


def find_head(live: LiveStack) -> Head:
    """The head of a live stack; takes one token through its first layer to see what layers return."""
    forward = start_pass(live, torch.zeros((1, 1), dtype=torch.long, device=live.model.device))
    calls = 0

    def count(own: Any, state: torch.Tensor) -> Any:
        nonlocal calls
        calls += 1
        return own(state)

    module = live.model.get_output_embeddings()
    if module is not None:
        with replace_forward(module, count):
            forward.finish(forward.state)
    return Head(live, module if calls == 1 else None, forward.others)


def _make_skip(others: tuple[Any, ...] | None) -> Stand:
    def skip(_index: int, state: State, _call: Call) -> Any:
        return state if others is None else (state, *others)

    return skip


@contextmanager
def replace_forward(module: Any, forward: Callable[[Any, torch.Tensor], Any]) -> Iterator[None]:
    """Let a module call `forward` with its own function and its input, during a `with` block."""
    own, patched = module.forward, "forward" in module.__dict__
    module.forward = lambda state, *_arguments, **_keywords: forward(own, state)
    try:
        yield
    finally:
        if patched:  # accelerate has replaced it before
            module.forward = own
        else:
            del module.forward
