"""Everything the preview shows, for programs."""

from __future__ import annotations

from typing import Any

from stacker.core.stack.graph import count_uses, find_segments
from stacker.core.stack.nodes import Node
from stacker.core.study.figures import figures_json
from stacker.core.study.layer_kinds import crossed
from stacker.view.scene.scene import Scene
from stacker.view.scene.wording import making_text


def preview_json(scene: Scene) -> dict[str, Any]:
    """Figures, layers, segments, junctions and coverage; figures are null while the stack cannot be planned."""
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
        "layers": [_layer(node) for node in graph.layers],
        "segments": _segments(scene),
        "junctions": _junctions(scene),
        "coverage": {name: list(uses) for name, uses in count_uses(graph, scene.donors).items()},
    }


def _layer(node: Node) -> dict[str, Any]:
    return {"op": node.op, "from": [{"donor": feed.donor, "layer": feed.layer} for feed in node.feeds]}


def _segments(scene: Scene) -> list[dict[str, Any]]:
    return [
        {
            "start": segment.start,
            "stop": segment.stop,
            "op": segment.first.op,
            "made_by": making_text(scene.graph, segment),
            "from": [{"donor": feed.donor, "start": feed.layer} for feed in segment.first.feeds],
        }
        for segment in find_segments(scene.graph)
    ]


def _junctions(scene: Scene) -> list[dict[str, Any]]:
    return [
        {
            "layer": junction.index,
            "jump": junction.jump,
            "differs": {
                name: {"before": before, "after": after} for name, before, after in crossed(junction, scene.donors)
            },
        }
        for junction in scene.jumps.values()
    ]
