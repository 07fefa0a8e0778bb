"""Defines Edit, a small change of a model's depth such as a repeated run of layers, and lists and orders edits.

State k is the residual stream that enters layer k; state 0 is the embedding, and the last state leaves the last layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Way(StrEnum):
    """What an edit does to a run of layers.

    `hop` repeats it and multiplies the residual stream that enters the second copy; `damp` repeats it and multiplies
    what the layers of the second copy write.
    """

    REPEAT = "repeat"
    DROP = "drop"
    HOP = "hop"
    DAMP = "damp"


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of layers [start, stop) of a model; `factor` is that of a hop or a damped copy, else 1."""

    way: Way
    start: int
    stop: int
    factor: float = 1.0

    @property
    def length(self) -> int:
        """How many layers are repeated or dropped."""
        return self.stop - self.start

    @property
    def left(self) -> int:
        """The state that leaves the model's own order of layers: it enters layer `entered` instead of its own."""
        return self.start if self.way is Way.DROP else self.stop

    @property
    def entered(self) -> int:
        """The layer that the state `left` enters, which is the model's depth if no layer follows."""
        return self.stop if self.way is Way.DROP else self.start

    def __str__(self) -> str:
        """Such as `repeat 10:14` or `hop 0.9 10:14`."""
        return f"{self.label} {self.start}:{self.stop}"

    @property
    def label(self) -> str:
        """The way with its factor, if it has one: `repeat`, `hop 0.9`."""
        return f"{self.way} {self.factor:g}" if self.way in (Way.HOP, Way.DAMP) else str(self.way)


def list_edits(depth: int, longest: int, ways: Sequence[tuple[Way, float]]) -> tuple[Edit, ...]:
    """All edits of runs of at most `longest` layers of a model of `depth` layers, in each of the `ways`.

    A way is paired with its factor. At least one layer is left when a run is dropped.
    """
    runs = [
        (start, start + length) for length in range(1, min(longest, depth) + 1) for start in range(depth - length + 1)
    ]
    kept = [(way, run, factor) for way, factor in ways for run in runs if way is not Way.DROP or run != (0, depth)]
    return tuple(Edit(way, *run, factor) for way, run, factor in kept)


def order_edits(edits: Iterable[Edit], distances: Sequence[Sequence[float]]) -> tuple[Edit, ...]:
    """The edits with the least expected harm first; `distances` has the distance between each two states.

    An edit that joins two states that are alike is expected to change little. Measured on SmolLM2-135M, the order
    agrees with the loss at a rank correlation of 0.8 to 0.9; it is no verdict.
    """
    return tuple(sorted(edits, key=lambda edit: distances[edit.left][edit.entered]))


def list_layers(edit: Edit, depth: int) -> Iterator[tuple[int, bool]]:
    """Yield the layers that the state `edit.left` goes through, each with whether it is of a damped copy."""
    for layer in range(edit.entered, depth):
        yield layer, edit.way is Way.DAMP and layer < edit.stop


def make_items(edit: Edit, depth: int, name: str, writers: Sequence[str] = ()) -> list[Any]:
    """The items of the `stack` of a spec that makes an edit of all layers of donor `name`.

    `writers` are the roles of the tensors that write to the residual stream, which a damped copy multiplies.
    """
    if edit.way is Way.DROP:
        return [_slice(name, *run) for run in ((0, edit.start), (edit.stop, depth)) if run[0] < run[1]]
    first, again = _slice(name, 0, edit.stop), _slice(name, edit.start, depth)
    if edit.way is Way.HOP:
        return [first, {"slice": again, "hop": edit.factor}]
    if edit.way is Way.REPEAT:
        return [first, again]
    copy = {"slice": _slice(name, edit.start, edit.stop), "scale": dict.fromkeys(writers, edit.factor)}
    return [first, copy, *([_slice(name, edit.stop, depth)] if edit.stop < depth else [])]


def _slice(name: str, start: int, stop: int) -> str:
    return f"{name}[{start}:{stop}]"
