"""Rates the junctions of stacks: reads what probes have measured, and measures what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stacker.cli.terminal.printing import make_console

if TYPE_CHECKING:
    from stacker.compose import Stack
    from stacker.live.live_stack import Settings
    from stacker.measure.probes.results import Matrix
    from stacker.measure.probes.settings import ProbeSettings
    from stacker.measure.states.walk import Walk


@dataclass(frozen=True, slots=True)
class Read:
    """The tokens that a donor has read, and its states."""

    tokens: tuple[tuple[int, ...], ...]
    walks: tuple[Walk, ...]


def read_turns(stack: Stack) -> dict[int, float]:
    """How far the residual stream turns at each junction that has been rated before, by the layer behind it."""
    from stacker.measure.probes.ratings import find_turn_cache, rate_junctions

    return rate_junctions(stack.graph, stack.donors, find_turn_cache())


def keep_distances(stacks: Sequence[Stack], distances: Matrix | None) -> None:
    """Keep the distances between the states of two stacks, or of one given twice, if they are plain donors."""
    from stacker.measure.probes.ratings import find_turn_cache

    donors = [next(iter(stack.donors.values())) for stack in stacks if _is_donor(stack)]
    if distances is not None and len(donors) == 2:
        find_turn_cache().write(donors[0], donors[1], distances)


def _is_donor(stack: Stack) -> bool:
    """Whether a stack is nothing but all layers of one donor, in their order."""
    (*names,) = stack.donors
    if len(names) != 1 or len(stack.graph.layers) != stack.donors[names[0]].depth:
        return False
    plain = all(not node.op and node.hops == 1.0 and len(node.feeds) == 1 for node in stack.graph.layers)
    return plain and [node.feeds[0].layer for node in stack.graph.layers] == [*range(len(stack.graph.layers))]


def measure_turns(stack: Stack, settings: ProbeSettings, how: Settings) -> dict[int, float]:
    """How far the residual stream turns at the junctions of a stack; donors that are not rated yet read the texts."""
    from stacker.measure.probes.ratings import find_turn_cache, find_unrated
    from stacker.measure.states.likeness import measure_distances

    cache, known = find_turn_cache(), dict[str, Read]()
    for pair in find_unrated(stack.graph, stack.donors, cache):
        for name in pair:
            if name not in known:
                known[name] = _read_texts(stack, name, settings, how)
        one, other = known[pair[0]], known[pair[1]]
        if one.tokens != other.tokens:
            message = f"{' and '.join(pair)} are not rated: their tokenizers divide the text differently"
            make_console(stderr=True).print(f"junctions of {message}")
            continue
        cache.write(stack.donors[pair[0]], stack.donors[pair[1]], measure_distances(one.walks, other.walks))
    return read_turns(stack)


def _read_texts(stack: Stack, name: str, settings: ProbeSettings, how: Settings) -> Read:
    """Take the texts through all layers of one donor of a stack."""
    from stacker.compose import load_text
    from stacker.measure.mapping.maps import prepare
    from stacker.measure.mapping.session import choose_passages
    from stacker.spec.language.stack_spec import Dialect, SliceSpec, StackSpec
    from stacker.spec.native.writer import to_native

    (donor,) = (each for each in stack.spec.donors if each.name == name)
    text = to_native(StackSpec(name, (donor,), (SliceSpec(name),)))
    folder = Path() if stack.spec.dialect is Dialect.MERGEKIT else stack.folder
    live = load_text(text.encode(), folder / "donor.yml").live_stack(how.device, how.dtype, how.max_memory)
    windows = choose_passages(settings, live).measured
    return Read(tuple(window.tokens for window in windows), prepare(live, windows).walks)
