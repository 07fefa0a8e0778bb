"""Shows the memory that a live stack takes, as text and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich import filesize
from rich.text import Text

from stacker.live.forecast.memory import LiveMemory


def memory_text(name: str, memory: LiveMemory, limit: int | None = None) -> Text:
    """A line about the memory of a live stack: its layers, its weights, and its cache.

    `limit` is the most bytes that weights may take, or None.
    """
    size = filesize.decimal
    layers = f"{memory.layers} layers" + (f", {memory.distinct} of them distinct" if memory.repeated else "")
    if limit is not None and memory.weights > limit:
        weights = f"{size(memory.weights)} of weights, streamed through {size(memory.streamed)}"
    else:
        weights = f"{size(memory.weights)} of weights"
        weights += f", {size(memory.mapped)} of them mapped from the donors' files" if memory.mapped else ""
        weights += f" ({size(memory.repeated)} saved by sharing)" if memory.repeated else ""
    cache = "size of the cache unknown" if memory.cache is None else f"{size(memory.cache)} of cache"
    return Text.assemble((name, "bold"), f": {layers}; {weights}; {cache} for {memory.tokens:,} tokens")


def memory_json(memory: LiveMemory) -> dict[str, Any]:
    """The memory of a live stack as a JSON value, with sizes in bytes."""
    return asdict(memory)
