"""The model card: what a reader of the hub needs to know of a stack, as Markdown with the hub's metadata."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from stacker.core.donor import Donor
from stacker.core.graph import StackGraph, segments
from stacker.core.plan import Plan
from stacker.view.quantities import bytes_text, count_text
from stacker.view.wording import source_text


def model_card(plan: Plan, graph: StackGraph, donors: Mapping[str, Donor], spec: str) -> bytes:
    """README.md: metadata, the slices as a table, the spec, and how to make the same bytes again."""
    metadata = {
        "base_model": [donor.source for donor in donors.values() if donor.revision] or None,
        "base_model_relation": "merge",
        "library_name": "transformers",
        "tags": ["merge", "frankenmerge", "stacker"],
    }
    said = {key: value for key, value in metadata.items() if value}
    rows = [
        f"| {segment.start}–{segment.stop - 1} | `{source_text(segment)}` | {segment.first.op or 'passthrough'} |"
        for segment in segments(graph)
    ]
    size = f"{count_text(plan.total_parameters)} parameters ({bytes_text(plan.total_size)})"
    again = "`stacker build stacker.yml OUT` with the same donors writes the same bytes"
    where = "`stacker.lock.json` says which donors, and where every tensor is from"
    parts = [
        f"---\n{yaml.safe_dump(said, sort_keys=False)}---",
        f"# {plan.name}",
        f"A stack of {len(graph.layers)} layers, {size}, composed with stacker.",
        "\n".join(["| layers | from | op |", "|---|---|---|", *rows]),
        f"## Spec\n\n```yaml\n{spec.rstrip()}\n```",
        f"## Make it again\n\n{again} (plan `{plan.id}`; {where}).",
    ]
    return ("\n\n".join(parts) + "\n").encode()
