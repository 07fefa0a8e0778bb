"""Everything the preview shows, for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from stacker.core.donor import Donor
from stacker.core.graph import StackGraph, coverage, junctions, segments
from stacker.core.plan import Plan
from stacker.errors import Problem, errors_in


def preview_json(
    graph: StackGraph, donors: Mapping[str, Donor], plan: Plan | None, problems: Iterable[Problem]
) -> dict[str, Any]:
    """Figures, layers, segments, junctions and coverage; figures are null while the stack cannot be planned."""
    family = donors[graph.template].architecture
    return {
        "ok": not errors_in(problems),
        "name": plan.name if plan else None,
        "family": family.name,
        "inferred": family.inferred,
        "layers": [{"op": n.op, "from": [f"{f.donor}[{f.layer}]" for f in n.feeds]} for n in graph.layers],
        "embed": [feed.donor for feed in graph.embed.feeds],
        "head": [feed.donor for feed in graph.head.feeds],
        "tokenizer": graph.tokenizer,
        "parameters": plan.total_parameters if plan else None,
        "bytes": plan.total_size if plan else None,
        "shards": len(plan.shards) if plan else None,
        "costs": asdict(plan.costs) if plan else None,
        "segments": [
            {
                "start": segment.start,
                "stop": segment.stop,
                "op": segment.first.op,
                "from": [{"donor": feed.donor, "start": feed.layer} for feed in segment.first.feeds],
            }
            for segment in segments(graph)
        ],
        "junctions": [{"layer": junction.index, "jump": junction.jump} for junction in junctions(graph)],
        "coverage": {name: list(uses) for name, uses in coverage(graph, donors).items()},
    }
