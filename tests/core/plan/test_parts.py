"""Plans divided into parts: every shard is in one part, and parts have about equal bytes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacker.core.plan.parts import Part, choose_shards, parse_part
from stacker.core.plan.plan import Costs, Plan, Shard
from stacker.core.plan.shard_layout import Layout
from stacker.errors import Mark, SpecError


def plan_of(sizes: list[int]) -> Plan:
    """A plan of empty shards of these sizes."""
    empty = Plan("id", "name", {}, (), (), Layout(), (), Costs(0, 0, 0, 0))
    return replace(empty, shards=tuple(Shard(f"{number}.safetensors", b"", size) for number, size in enumerate(sizes)))


@given(st.lists(st.integers(1, 10**12), min_size=1, max_size=40), st.integers(1, 60))
def test_every_shard_is_in_one_part(sizes: list[int], count: int) -> None:
    """The parts, one after the other, are all shards in order."""
    plan = plan_of(sizes)
    chosen = [number for k in range(1, count + 1) for number in choose_shards(plan, Part(k, count))]
    assert chosen == list(range(len(sizes)))


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=40), st.integers(1, 20))
def test_parts_are_about_equal(sizes: list[int], count: int) -> None:
    """No part has more bytes than its share and one shard more."""
    plan = plan_of(sizes)
    for k in range(1, count + 1):
        part = sum(sizes[number] for number in choose_shards(plan, Part(k, count)))
        assert part <= sum(sizes) / count + max(sizes)


@pytest.mark.parametrize("text", ["", "3", "0/8", "9/8", "0/0", "-1/8", "1/8/2", "1,8", "a/b", "1/99999999", "¹/8"])
def test_what_is_not_a_part_is_refused(text: str) -> None:
    """Anything but K/N with 1 <= K <= N is an error that says what to write."""
    with pytest.raises(SpecError) as caught:
        parse_part(text, Mark("--shards"))
    assert caught.value.problems[0].hint


def test_a_part_is_parsed() -> None:
    """3/8 is the third of eight parts."""
    assert parse_part("3/8", Mark("--shards")) == Part(3, 8)
