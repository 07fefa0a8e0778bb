"""From a checked stack to its config and its Plan: tensors made, laid out, counted and named by an id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from stacker.core.config.compiling import compile_config
from stacker.core.plan.costs import bytes_read, sizes_of, unused_tensors
from stacker.core.plan.layout import lay_out
from stacker.core.plan.memory import peak_bytes
from stacker.core.plan.plan import Costs, DonorIdentity, Layout, Plan, Step
from stacker.core.plan.plan_json import plan_id, plan_to_json
from stacker.core.plan.tensors import PlannedTensors
from stacker.core.stack.graph import StackGraph
from stacker.core.values.donor import Donor, all_donors
from stacker.core.values.expression import Columns, Concat, Copy
from stacker.errors import Problem
from stacker.formats.json_object import Json
from stacker.spec.language.stack_spec import StackSpec


def make_plan(
    name: str,
    graph: StackGraph,
    donors: Mapping[str, Donor],
    makings: PlannedTensors,
    config: dict[str, Json],
    layout: Layout,
) -> Plan:
    """Everything a build will write, from tensors that were checked; no weight byte is read for it."""
    steps, shards = lay_out(makings.tensors, donors, layout)
    known = all_donors(donors)
    plan = Plan(
        id="",
        name=name,
        config=config,
        steps=steps,
        shards=shards,
        layout=layout,
        donors=tuple(identity(donor) for donor in known.values()),
        costs=costs_of(steps, known),
        unused=tuple(unused_tensors(graph, donors, makings)),
        tied=makings.tied,
    )
    return replace(plan, id=plan_id(plan_to_json(plan)))


def config_of(
    spec: StackSpec, graph: StackGraph, donors: Mapping[str, Donor], makings: PlannedTensors | None
) -> tuple[dict[str, Json], tuple[Problem, ...]]:
    """The new config.json and what is wrong with it; whether it says tied is only known once the tensors are."""
    return compile_config(
        donors[graph.template],
        [[(donors[feed.donor], feed.layer or 0) for feed in node.feeds] for node in graph.layers],
        embed=donors[graph.embed.feeds[0].donor],
        head=donors[graph.head.feeds[0].donor],
        dtype=spec.output.dtype,
        tied=bool(makings.tied) if makings else None,
        tokenizer=donors[graph.tokenizer],
        marks=[node.mark for node in graph.layers],
    )


def identity(donor: Donor) -> DonorIdentity:
    """What makes two donors the same for a plan: their files' sizes and headers, not where they lie."""
    files = tuple((file.name, file.size, file.header) for file in donor.files)
    return DonorIdentity(donor.name, donor.source, donor.revision, files)


def costs_of(steps: tuple[Step, ...], donors: Mapping[str, Donor]) -> Costs:
    """Bytes read, written and moved unchanged, and the peak of resident memory with two workers."""
    sizes = sizes_of(tuple(donors.values()))
    read = sum(bytes_read(step.expression, sizes) for step in steps)
    written = sum(step.tensor.nbytes for step in steps)
    moved = sum(_moved(step) for step in steps)
    return Costs(read, written, moved, peak_bytes(steps, workers=2))


def _moved(step: Step) -> int:
    """Bytes of a tensor that are as a donor has them."""
    match step.expression:
        case Copy():
            return step.tensor.nbytes
        case Concat(of, widths):
            columns = sum(width for part, width in zip(of, widths, strict=True) if isinstance(part, Columns))
            return step.tensor.nbytes * columns // sum(widths)
        case _:
            return 0
