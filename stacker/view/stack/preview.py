"""A stack before it exists, as a picture for the terminal: figures, depth map, segments, junctions, coverage, lints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.style import Style
from rich.table import Table
from rich.text import Text

from stacker.core.stack.graph import Segment, count_uses, find_segments
from stacker.errors import Problem, Severity
from stacker.view.map.coverage import Coverage
from stacker.view.map.depth_map import DepthMap, is_plain
from stacker.view.scene.palette import donor_styles
from stacker.view.scene.scene import Scene
from stacker.view.scene.wording import crossing_text, making_text, source_texts, span_text
from stacker.view.stack.head import head

_SIGNS = {Severity.WARNING: ("! ", "bold yellow"), Severity.NOTE: ("- ", "dim"), Severity.ERROR: ("! ", "bold red")}


def preview(scene: Scene) -> Group:
    """The whole picture, as wide as the console; without a plan, what the graph alone tells."""
    return Group(*_parts(scene))


def _parts(scene: Scene) -> Iterator[RenderableType]:
    yield head(scene)
    if not scene.graph.layers:
        return
    yield Text()
    yield DepthMap(scene.graph, scene.donors)
    yield Legend(scene)
    yield Text()
    yield segment_table(scene)
    yield Text()
    yield Coverage(scene)
    if scene.lints:
        yield Text()
        yield lint_list(scene.lints)


@dataclass(frozen=True, slots=True)
class Legend:
    """Which colour or letter is which donor, and what else the map has."""

    scene: Scene

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """One item after the other, wrapped between them."""
        plain = is_plain(console)
        items = [
            Text(f"{style.letter} {style.name}") if plain else Text.assemble(("█", style.colour), f" {style.name}")
            for style in donor_styles(list(self.scene.donors)).values()
        ]
        if any(node.op for node in self.scene.graph.layers):
            items.append(_blend_sign(self.scene, plain=plain, ascii_only=options.ascii_only))
        if plain and any(count > 1 for uses in self._coverage() for count in uses):
            items.append(Text("lower case: used again"))
        yield Text("   ").join(items)

    def _coverage(self) -> Iterable[tuple[int, ...]]:
        return count_uses(self.scene.graph, self.scene.donors).values()


def _blend_sign(scene: Scene, *, plain: bool, ascii_only: bool) -> Text:
    if plain:
        return Text("* blend" if ascii_only else "◆ blend")
    blended = next(node for node in scene.graph.layers if node.op)
    styles = donor_styles(list(scene.donors))
    one, other = (styles[blended.feeds[place].donor].colour for place in (0, -1))
    return Text.assemble(("▚", Style(color=one, bgcolor=other)), " blend")


_COLUMNS = ("layers", "jump", "from", "made by", "across the jump")


def segment_table(scene: Scene) -> Table:
    """One row a segment: its layers, the jump before them, where from, how made; what differs across the jump."""
    rows = [_row(scene, segment) for segment in find_segments(scene.graph)]
    kept = [n for n in range(len(_COLUMNS)) if any(str(row[n]) for row in rows)]
    table = Table(box=None, pad_edge=False, header_style="dim")
    for n in kept:
        table.add_column(_COLUMNS[n], justify="right" if n < 2 else "left", no_wrap=n < 2, overflow="fold")
    for row in rows:
        table.add_row(*(row[n] for n in kept))
    return table


def _row(scene: Scene, segment: Segment) -> tuple[str, str, Text, str, str]:
    junction = scene.jumps.get(segment.start)
    return (
        span_text(segment.start, segment.stop),
        f"{junction.jump:+d}" if junction else "",
        _sources(scene, segment),
        making_text(scene.graph, segment),
        crossing_text(junction, scene.donors) if junction else "",
    )


def _sources(scene: Scene, segment: Segment) -> Text:
    """A segment's slices, each in its donor's colour."""
    styles = donor_styles(list(scene.donors))
    slices = [Text(text, styles[feed.donor].colour) for text, feed in source_texts(segment)]
    return Text(" + ").join(slices)


def lint_list(lints: Iterable[Problem]) -> Table:
    """What is doubtful, each with its reason below it."""
    table = Table.grid()
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for problem in lints:
        sign, style = _SIGNS[problem.severity]
        table.add_row(Text(sign, style), Text(problem.message))
        if problem.hint:
            table.add_row("", Text(problem.hint, "dim"))
    return table
