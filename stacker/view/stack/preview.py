"""Shows the preview of a stack, on the terminal and as JSON.

The preview has a summary, the depth map, the segments, how often each donor layer is used, and the lints.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.style import Style
from rich.table import Table
from rich.text import Text

from stacker.core.stack.graph import Segment, count_uses, find_segments
from stacker.core.stack.nodes import Node
from stacker.core.study.figures import figures_json
from stacker.errors import Problem, Severity
from stacker.view.map.coverage import Coverage
from stacker.view.map.depth_map import DepthMap, is_plain
from stacker.view.scene.formatting import changes_text, list_sources, method_text, span_text
from stacker.view.scene.jumps import SEVERITY_SOURCE, severity_json, severity_text
from stacker.view.scene.palette import DonorStyle, assign_styles
from stacker.view.scene.scene import Scene
from stacker.view.scene.tabular import make_table
from stacker.view.stack.programs import verdicts_json
from stacker.view.stack.summary import draw_summary

_SIGNS = {Severity.WARNING: ("! ", "bold yellow"), Severity.NOTE: ("- ", "dim"), Severity.ERROR: ("! ", "bold red")}


def draw_preview(scene: Scene) -> Group:
    """The preview of a stack, as wide as the console.

    It has no sizes and costs if the stack cannot be built, and only the summary if the stack has no layers.
    """
    return Group(*_draw_parts(scene))


def _draw_parts(scene: Scene) -> Iterator[RenderableType]:
    yield draw_summary(scene)
    if not scene.graph.layers:
        return
    yield Text()
    yield DepthMap(scene.graph, scene.donors)
    yield Legend(scene)
    yield Text()
    yield draw_segments(scene)
    if scene.jumps:
        yield Text(SEVERITY_SOURCE, "dim")
    yield Text()
    yield Coverage(scene)
    if scene.lints:
        yield Text()
        yield draw_lints(scene.lints)


@dataclass(frozen=True, slots=True)
class Legend:
    """Shows the legend of a depth map: the colour or letter of each donor, and the sign for blends.

    On a console without colours, the legend also explains lower-case letters, which mark repeated donor layers.
    """

    scene: Scene

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield one text with all items of the legend."""
        plain = is_plain(console)
        items = [
            Text(f"{style.letter} {style.name}") if plain else Text.assemble(("█", style.colour), f" {style.name}")
            for style in assign_styles(list(self.scene.donors)).values()
        ]
        if any(node.op for node in self.scene.graph.layers):
            items.append(_draw_blend_sign(self.scene, plain=plain, ascii_only=options.ascii_only))
        if plain and any(count > 1 for uses in self._coverage() for count in uses):
            items.append(Text("lower case: used again"))
        yield Text("   ").join(items)

    def _coverage(self) -> Iterable[tuple[int, ...]]:
        return count_uses(self.scene.graph, self.scene.donors).values()


def _draw_blend_sign(scene: Scene, *, plain: bool, ascii_only: bool) -> Text:
    if plain:
        return Text("* blend" if ascii_only else "◆ blend")
    blended = next(node for node in scene.graph.layers if node.op)
    styles = assign_styles(list(scene.donors))
    one, other = (styles[blended.feeds[place].donor].colour for place in (0, -1))
    return Text.assemble(("▚", Style(color=one, bgcolor=other)), " blend")


_COLUMNS = ("layers", "jump", "severity", "turn", "from", "made by", "across the jump")


def draw_segments(scene: Scene) -> Table:
    """A table with a row for each run of output layers that are made from consecutive donor layers.

    The columns are its layers, the jump before it, how severe the jump is and how far the stream turns there, its donor
    slices, its op, and what the jump changes. A column that is empty in every row is left out.
    """
    styles = assign_styles(list(scene.donors))
    rows = [_segment_row(scene, segment, styles) for segment in find_segments(scene.graph)]
    filled = [n for n in range(len(_COLUMNS)) if any(str(row[n]) for row in rows)]
    columns = [_COLUMNS[n] for n in filled]
    return make_table(
        columns, [[row[n] for n in filled] for row in rows], right=("layers", "jump", "turn"), header_style="dim"
    )


def _segment_row(
    scene: Scene, segment: Segment, styles: Mapping[str, DonorStyle]
) -> tuple[str, str, str, str, Text, str, str]:
    junction = scene.jumps.get(segment.start)
    return (
        span_text(segment.start, segment.stop),
        f"{junction.jump:+d}" if junction else "",
        severity_text(scene, segment.start),
        f"{scene.turns[segment.start]:.2f}" if segment.start in scene.turns else "",
        _draw_sources(segment, styles),
        method_text(scene.graph, segment),
        changes_text(scene.changes.get(segment.start, ())),
    )


def _draw_sources(segment: Segment, styles: Mapping[str, DonorStyle]) -> Text:
    """The donor slices that a segment is made from, each in the colour of its donor."""
    slices = [Text(text, styles[feed.donor].colour) for text, feed in list_sources(segment)]
    return Text(" + ").join(slices)


def draw_lints(lints: Iterable[Problem]) -> Table:
    """A table with a row for each lint, a warning or note about the stack, and a row below it for its hint, if any."""
    table = Table.grid()
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for problem in lints:
        sign, style = _SIGNS[problem.severity]
        table.add_row(Text(sign, style), Text(problem.message))
        if problem.hint:
            table.add_row("", Text(problem.hint, "dim"))
    return table


def preview_json(scene: Scene) -> dict[str, Any]:
    """The preview of a stack as a JSON value; `figures` and `plan` are null if the stack cannot be built."""
    graph = scene.graph
    return {
        "name": scene.name,
        "family": scene.family.name,
        "inferred": scene.family.inferred,
        "figures": figures_json(scene.figures) if scene.figures else None,
        "plan": scene.plan.id if scene.plan else None,
        "embed": [feed.donor for feed in graph.embed.feeds],
        "head": [feed.donor for feed in graph.head.feeds],
        "tokenizer": graph.tokenizer,
        "config": graph.template,
        "layers": [_layer_json(node) for node in graph.layers],
        "segments": _segments_json(scene),
        "junctions": _junctions_json(scene),
        "programs": verdicts_json(scene.verdicts),
        "coverage": {name: list(uses) for name, uses in count_uses(graph, scene.donors).items()},
    }


def _layer_json(node: Node) -> dict[str, Any]:
    feeds = [{"donor": feed.donor, "layer": feed.layer} for feed in node.feeds]
    return {"op": node.op, "hop": node.hop, "from": feeds}


def _segments_json(scene: Scene) -> list[dict[str, Any]]:
    return [
        {
            "start": segment.start,
            "stop": segment.stop,
            "op": segment.first.op,
            "made_by": method_text(scene.graph, segment),
            "from": [{"donor": feed.donor, "start": feed.layer} for feed in segment.first.feeds],
        }
        for segment in find_segments(scene.graph)
    ]


def _junctions_json(scene: Scene) -> list[dict[str, Any]]:
    return [
        {
            "layer": junction.index,
            "jump": junction.jump,
            "turn": scene.turns.get(junction.index),
            "severity": severity_json(scene, junction.index),
            "differs": {
                name: {"before": before, "after": after} for name, before, after in scene.changes[junction.index]
            },
        }
        for junction in scene.jumps.values()
    ]
