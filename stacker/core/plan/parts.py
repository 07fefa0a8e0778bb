"""Divides a plan into parts that do not depend on each other: each part is a run of shards.

A part is a plan of its own, with fewer shards, so that whatever carries out a plan carries out a part of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import accumulate

from stacker.core.plan.plan import Plan
from stacker.errors import Mark, SpecError, escape_text

_PART = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")


@dataclass(frozen=True, slots=True)
class Part:
    """The part with number `number`, counted from 1, of `count` parts."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def parse_part(text: str, mark: Mark) -> Part:
    """Parse `K/N`, such as 3/8 for the third of eight parts; SpecError for anything else."""
    found = _PART.fullmatch(text)
    if found is None:
        hint = "write K/N, such as 3/8 for the third of eight parts"
        raise SpecError.of(f"'{escape_text(text)}' is not a part", hint, mark)
    part = Part(int(found[1]), int(found[2]))
    if not 1 <= part.number <= part.count:
        raise SpecError.of(
            f"there is no part {part}", f"the parts are 1/{part.count} to {part.count}/{part.count}", mark
        )
    return part


def choose_shards(plan: Plan, part: Part) -> range:
    """The numbers of the shards of a part: neighbours, so that they need few donor files, of about equal bytes.

    Each shard belongs to exactly one part. A part is empty where there are more parts than shards.
    """
    ends = list(accumulate(shard.size for shard in plan.shards))
    # a shard belongs to the part in which its middle lies: (2 * end - size) / 2 of all bytes
    middles = [2 * end - shard.size for end, shard in zip(ends, plan.shards, strict=True)]
    owners = [middle * part.count // (2 * ends[-1]) + 1 for middle in middles]
    chosen = [number for number, owner in enumerate(owners) if owner == part.number]
    return range(chosen[0], chosen[-1] + 1) if chosen else range(0)


def select_shards(plan: Plan, numbers: range) -> Plan:
    """The plan of these shards alone, which are numbered from 0 there; its costs are still those of the whole plan."""
    own = (step for step in plan.steps if step.shard in numbers)
    steps = tuple(replace(step, shard=step.shard - numbers.start) for step in own)
    return replace(
        plan,
        id=f"{plan.id}:{name_shards(numbers)}",
        steps=steps,
        shards=plan.shards[numbers.start : numbers.stop],
    )


def name_shards(numbers: range) -> str:
    """A name for a run of shards, such as 00003-00005; like the shards' own names, it counts from 1."""
    return f"{numbers.start + 1:05}-{numbers.stop:05}"
