"""Lets a live stack continue a text, with transformers' own generation, and passes the new text on as it comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import TextStreamer, set_seed

from stacker.errors import SpecError
from stacker.live.filling.classes import hide_messages
from stacker.live.forecast.positions import find_positions
from stacker.live.live_stack import LiveStack

Say = Callable[[str], None]
"""A function that is called with each piece of new text."""
Message = Mapping[str, str]
"""A message of a chat: its `role` (system, user or assistant) and its `content`."""


@dataclass(frozen=True, slots=True)
class Generated:
    """What a live stack said: the `text`, and how many tokens it read and wrote in how many seconds."""

    text: str
    prompt_tokens: int
    new_tokens: int
    seconds: float

    @property
    def speed(self) -> float:
        """New tokens a second, reading the prompt included."""
        return self.new_tokens / self.seconds if self.seconds else 0.0


def encode_text(tokenizer: Any, text: str) -> Any:
    """The tokens of a plain text, as the model's `generate` takes them."""
    return tokenizer(text, return_tensors="pt", return_token_type_ids=False)


def encode_chat(tokenizer: Any, messages: Sequence[Message]) -> Any:
    """The tokens of a chat in the form of the tokenizer's template, up to where the answer begins."""
    kinds = {"return_tensors": "pt", "return_dict": True}
    return tokenizer.apply_chat_template([*map(dict, messages)], add_generation_prompt=True, **kinds)


def generate(
    live: LiveStack, tokenizer: Any, encoded: Any, options: Mapping[str, Any], say: Say, seed: int = 0
) -> Generated:
    """Continue the encoded text; `options` have transformers' names, such as `max_new_tokens` and `temperature`.

    Random draws depend on `seed` alone. The text ends where the model has no more positions. SpecError if transformers
    refuses the options, or if the text is empty or too long for the model.
    """
    tokens = encoded["input_ids"]
    options = {**options, **_limit_tokens(live, tokens.shape[1], options)}
    streamer = _Streamer(tokenizer, say)
    inputs = {name: tensor.to(live.model.device) for name, tensor in encoded.items()}
    pad = {} if live.model.generation_config.pad_token_id is not None else {"pad_token_id": tokenizer.eos_token_id}
    set_seed(seed)
    start = time.perf_counter()
    with torch.no_grad(), hide_messages():
        try:
            result = live.model.generate(**inputs, **pad, **options, streamer=streamer)
        except ValueError as error:  # how transformers refuses options
            raise SpecError.of(f"transformers refuses these options: {' '.join(str(error).split())}") from error
    seconds = time.perf_counter() - start
    fresh = result[0, tokens.shape[1] :]
    return Generated(tokenizer.decode(fresh, skip_special_tokens=True), tokens.shape[1], len(fresh), seconds)


def _limit_tokens(live: LiveStack, prompt: int, options: Mapping[str, Any]) -> dict[str, int]:
    """The option for how many tokens may follow `prompt` tokens, where the model's positions limit it."""
    if not prompt:
        raise SpecError.of("the prompt has no tokens", "write a longer prompt")
    most = find_positions(live.blueprint.plan.config)
    if most is None:
        return {}
    if prompt >= most:
        message = f"the prompt has {prompt} tokens, and the model has only {most} positions for prompt and answer"
        raise SpecError.of(message, "give a shorter prompt, or begin a new chat")
    wanted = options.get("max_new_tokens")
    return {"max_new_tokens": min(wanted, most - prompt)} if wanted else {}


class _Streamer(TextStreamer):  # type: ignore[misc]  # transformers' classes have no types here
    """Passes on each piece of text that can no longer change, without special tokens and without the prompt."""

    def __init__(self, tokenizer: Any, say: Say) -> None:
        super().__init__(tokenizer, skip_prompt=True, skip_special_tokens=True)
        self._say = say

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Called by transformers with each new piece of text."""
        del stream_end
        if text:
            self._say(text)
