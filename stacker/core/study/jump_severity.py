"""Says how severe the jumps of a stack are likely to be, by what comparable jumps did to one measured model.

SmolLM2-135M, which has 30 layers and a perplexity of 23.1 on English text, was stacked in several ways, and the
perplexity of each stack was measured on the same text. Where layers were moved, another model may react differently.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from stacker.core.stack.graph import Junction, StackGraph
from stacker.core.stack.nodes import Feed, Node
from stacker.core.values.donor import Donor
from stacker.core.values.parameters import find_factor


class Severity(StrEnum):
    """How much a jump is likely to harm: the perplexity grows by up to a quarter, up to two times, up to ten, or more.

    `NONE` is for layers that are multiplied by 0 and change nothing.
    """

    NONE = "none"
    SLIGHT = "slight"
    MODERATE = "moderate"
    SEVERE = "severe"
    RUINOUS = "ruinous"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A stack of SmolLM2-135M that was measured, for jumps that are like the jump in it.

    `ratio` is its perplexity divided by that of the model. Jumps are alike if their length, as a part of the donor's
    depth and negative for jumps back, is between `shortest` and `longest`, and they arrive above `from_layer`, another
    part of the depth.
    """

    stack: str
    ratio: float
    shortest: float
    longest: float
    from_layer: float = 0.0

    @property
    def severity(self) -> Severity:
        """The severity of jumps that are like this one."""
        bounds = ((1.25, Severity.SLIGHT), (2.0, Severity.MODERATE), (10.0, Severity.SEVERE))
        return next((level for most, level in bounds if self.ratio <= most), Severity.RUINOUS)


FRONT = 1 / 15
"""Layers before this part of the depth are the first ones, whose repetition harms most."""
COMPARISONS = (
    Comparison("layers 14 and 15 swapped", 25.6 / 23.1, -2 / 30, 2 / 30, FRONT),
    Comparison("layers 10 to 14 twice", 33.0 / 23.1, -7 / 30, 0.0, FRONT),
    Comparison("layers 10 to 19 twice", 34.3 / 23.1, -12 / 30, 0.0, FRONT),
    Comparison("layers 8 to 21 twice", 37.5 / 23.1, -1.0, 0.0, FRONT),
    Comparison("layers 0 to 2 twice", 16_475 / 23.1, -1.0, 0.0),
    Comparison("layers 20 to 23 left out", 95.8 / 23.1, 0.0, 1.0),
)
"""The first row that fits a jump is taken."""


def rate_jumps(
    graph: StackGraph, jumps: Iterable[Junction], donors: Mapping[str, Donor]
) -> dict[int, Comparison | None]:
    """For each jump, what it is comparable to, by the index of the output layer after it; None if it changes nothing.

    Jumps from one donor to another are rated as if both were one; the change of the donor is not.
    """
    return {jump.index: _rate(jump, [*_list_active(graph, jump)], donors) for jump in jumps}


def _list_active(graph: StackGraph, jump: Junction) -> Iterator[Feed]:
    """Yield the donor layers that meet at a jump, passing over layers before it that change nothing.

    Nothing is yielded for the layer after the jump if it changes nothing itself.
    """
    before = [node for node in graph.layers[: jump.index] if not is_silent(node)]
    passed = is_silent(graph.layers[jump.index - 1])
    yield from (before[-1].feeds[:1] if passed and before else [jump.before])
    yield from [] if is_silent(graph.layers[jump.index]) else [jump.after]


def _rate(jump: Junction, active: list[Feed], donors: Mapping[str, Donor]) -> Comparison | None:
    if len(active) < 2:
        return None
    meeting = Junction(jump.index, *active)
    depth = donors[meeting.after.donor].depth
    if meeting.jump == 0 and meeting.before.donor == meeting.after.donor:
        return None
    length, layer = max(-1.0, min(1.0, meeting.jump / depth)), (meeting.after.layer or 0) / depth
    fitting = (row for row in COMPARISONS if row.shortest <= length <= row.longest and layer >= row.from_layer)
    return next(fitting, COMPARISONS[-1])


def is_silent(node: Node) -> bool:
    """Whether all that a layer writes is multiplied by 0, so that the layer changes nothing."""
    scales = [(*node.scales, *feed.scales) for feed in node.feeds]
    return all(find_factor(each, role, "") == 0 for each in scales for role in ("attn.o", "mlp.down"))
