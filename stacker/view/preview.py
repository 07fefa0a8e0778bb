"""A stack before it exists, as a picture for the terminal: figures, depth map, segments, junctions, coverage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stacker.core.donor import Donor
from stacker.core.graph import Segment, StackGraph, coverage, junctions, segments
from stacker.core.plan import Plan
from stacker.view.depth_map import DepthMap
from stacker.view.palette import donor_styles
from stacker.view.quantities import bytes_text, count_text


def preview(graph: StackGraph, donors: Mapping[str, Donor], plan: Plan | None) -> Group:
    """The whole picture, as wide as the console; without a plan, what the graph alone tells."""
    return Group(*_parts(graph, donors, plan))


def _parts(graph: StackGraph, donors: Mapping[str, Donor], plan: Plan | None) -> Iterator[RenderableType]:
    yield _head(graph, donors, plan)
    if graph.layers:
        yield Text()
        yield DepthMap(graph, donors)
        yield _legend(donors)
        yield Text()
        yield _segments(graph, donors)
        yield Text()
        yield _coverage(graph, donors)


def _head(graph: StackGraph, donors: Mapping[str, Donor], plan: Plan | None) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    family = donors[graph.template].architecture
    table.add_row("stack", plan.name if plan else "(cannot be built as it is)")
    table.add_row("family", family.name + (" (inferred from names and config)" if family.inferred else ""))
    table.add_row("layers", str(len(graph.layers)))
    if plan:
        table.add_row("parameters", count_text(plan.total_parameters))
        table.add_row(
            "on disk", f"{bytes_text(plan.total_size)} in {len(plan.shards)} shard{'s'[: len(plan.shards) > 1]}"
        )
        moved = plan.costs.moved / max(1, plan.costs.written)
        table.add_row("to read", f"{bytes_text(plan.costs.read)}, {moved:.0%} of the result moved unchanged")
        table.add_row("memory", f"{bytes_text(plan.costs.peak)} at the peak")
    table.add_row("embedding", _names(feed.donor for feed in graph.embed.feeds))
    table.add_row("head", _names(feed.donor for feed in graph.head.feeds))
    table.add_row("tokenizer", graph.tokenizer)
    return table


def _names(names: Iterator[str]) -> str:
    return " + ".join(names)


def _legend(donors: Mapping[str, Donor]) -> Text:
    text = Text("     ")
    for style in donor_styles(list(donors)).values():
        text.append(style.letter, style.colour).append(f" {style.name}   ")
    return text.append("◆ blend   lower case: repeated", "dim")


def _segments(graph: StackGraph, donors: Mapping[str, Donor]) -> Table:
    """One row a segment, with the jump of the donor's index from the segment before."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("layers", "from", "op", "jump"):
        table.add_column(column, justify="right" if column in ("layers", "jump") else "left")
    jumps = {junction.index: junction.jump for junction in junctions(graph)}
    styles = donor_styles(list(donors))
    for segment in segments(graph):
        colour = styles[segment.first.feeds[0].donor].colour
        jump = f"{jumps[segment.start]:+d}" if segment.start in jumps else ""
        layers = f"{segment.start}–{segment.stop - 1}" if len(segment) > 1 else f"{segment.start}"
        table.add_row(layers, Text(source_text(segment), colour), segment.first.op or _note(segment), jump)
    return table


def _note(segment: Segment) -> str:
    scaled = segment.first.scales or segment.first.feeds[0].scales
    return "scaled" if scaled else ""


def source_text(segment: Segment) -> str:
    """Where a segment's layers come from, as slices: `xwin[0:16]`."""
    starts = ((feed.donor, feed.layer or 0) for feed in segment.first.feeds)
    return " + ".join(f"{donor}[{start}:{start + len(segment)}]" for donor, start in starts)


def _coverage(graph: StackGraph, donors: Mapping[str, Donor]) -> Table:
    """For each donor: how many layers are used never, once, twice or more, and which never."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("donor", "layers", "unused", "once", "more"):
        table.add_column(column, justify="left" if column == "donor" else "right")
    table.add_column("never used", overflow="fold")
    for name, uses in coverage(graph, donors).items():
        counts = (uses.count(0), uses.count(1), sum(count > 1 for count in uses))
        missing = ranges_text([layer for layer, count in enumerate(uses) if not count])
        table.add_row(name, str(len(uses)), *map(str, counts), missing)
    return table


def ranges_text(numbers: list[int]) -> str:
    """Sorted numbers, runs joined: `3, 7–9`."""
    runs = [[n for _, n in run] for _, run in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0])]
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)
