"""One place on the residual stream (Node), what flows into it (Feed), and slices turned into feeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stacker.arch.files.architecture import Part
from stacker.core.values.parameters import Bound, BoundSetting, bind
from stacker.errors import Mark, Problem, did_you_mean
from stacker.ops.shared.op import Base, Op
from stacker.spec.language.stack_spec import NamedStack, SliceSpec, StackSpec


@dataclass(frozen=True, slots=True)
class Feed:
    """A donor layer (None: the donor's embedding or head) on its way into the stack, with factors and op parameters."""

    donor: str
    layer: int | None
    scales: tuple[Bound, ...] = ()
    settings: tuple[BoundSetting, ...] = ()


@dataclass(frozen=True, slots=True)
class Node:
    """One place on the residual stream. With one feed and no `op` it is that feed; else the feeds, blended.

    `item` tells runs apart that one item of the spec wrote, `copy` counts the times a repeat has come round (from 0).
    """

    part: Part
    index: int
    feeds: tuple[Feed, ...]
    op: str | None = None
    settings: tuple[BoundSetting, ...] = ()
    base: Feed | None = None
    scales: tuple[Bound, ...] = ()
    item: int = 0
    copy: int = 0
    mark: Mark | None = field(default=None, compare=False, repr=False)


@dataclass(slots=True)
class Expansion:
    """What spreading out needs to know, and the problems it found on the way.

    `ops` are those that a spec may name; `open` are the named stacks being spread out.
    """

    depths: Mapping[str, int]
    stacks: Mapping[str, NamedStack]
    spec: StackSpec
    ops: Mapping[str, Op] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    open: tuple[str, ...] = ()

    def report(self, message: str, mark: Mark | None, hint: str = "") -> None:
        self.problems.append(Problem(message, hint, mark))

    def knows(self, donor: str, mark: Mark | None) -> bool:
        """Whether there is such a donor; reported when not."""
        if donor not in self.depths:
            self.report(f"there is no donor '{donor}'", mark, did_you_mean(donor, self.depths))
        return donor in self.depths

    def takes_base(self, op: str, written: SliceSpec | None) -> bool:
        """Whether an op has a base; reported when one is `written` at its blend all the same."""
        takes = op not in self.ops or self.ops[op].base is not Base.NONE
        if written is not None and not takes:
            self.report(f"op '{op}' takes no base", written.mark, "leave `base` out here")
        return takes


def feeds_of(piece: SliceSpec, expansion: Expansion) -> tuple[Feed, ...]:
    """The layers of a slice; none, and a report, when the donor is unknown or the range does not fit it."""
    if not expansion.knows(piece.donor, piece.mark):
        return ()
    depth = expansion.depths[piece.donor]
    start = 0 if piece.start is None else piece.start
    stop = depth if piece.stop is None else piece.stop
    if stop > depth or start >= depth:
        wrote = f"{piece.donor}[{start}:{stop}]"
        hint = f"ranges are half-open; the last valid end is {depth}"
        expansion.report(f"slice {wrote} ends past donor '{piece.donor}', which has {depth} layers", piece.mark, hint)
        return ()
    count = stop - start
    scales = (piece.scale,) if piece.scale else ()
    return tuple(
        Feed(
            piece.donor,
            start + position,
            tuple(Bound(scale, position, count) for scale in scales),
            bind(piece.settings, position, count),
        )
        for position in range(count)
    )
