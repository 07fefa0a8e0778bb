"""From a checked stack to its Plan: layout, costs, unused donor tensors with the reason, and the plan id."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from stacker.arch.files.architecture import Part
from stacker.core.plan.kernels import readings
from stacker.core.plan.layout import lay_out
from stacker.core.plan.memory import peak_bytes
from stacker.core.plan.plan import Costs, DonorIdentity, Layout, Plan, Step, Unused
from stacker.core.plan.plan_json import plan_id, plan_to_json
from stacker.core.plan.tensors import PlannedTensors
from stacker.core.stack.graph import StackGraph
from stacker.core.values.donor import Donor, DonorTensor, all_donors
from stacker.core.values.expression import Columns, Concat, Copy, Expression, needed_leaves, read_tensors
from stacker.formats.json_object import Json
from stacker.tensors import TensorRef


def make_plan(
    name: str,
    graph: StackGraph,
    donors: Mapping[str, Donor],
    planned: PlannedTensors,
    config: dict[str, Json],
    layout: Layout,
) -> Plan:
    """Everything that a build will write, from tensors that were checked; no weight is read."""
    steps, shards = lay_out(planned.tensors, donors, layout)
    known = all_donors(donors)
    plan = Plan(
        id="",
        name=name,
        config=config,
        steps=steps,
        shards=shards,
        layout=layout,
        donors=tuple(identify_donor(donor) for donor in known.values()),
        costs=add_up_costs(steps, known),
        unused=tuple(find_unused(graph, donors, planned)),
        tied=planned.tied,
    )
    return replace(plan, id=plan_id(plan_to_json(plan)))


def identify_donor(donor: Donor) -> DonorIdentity:
    """What makes two donors the same for a plan: the sizes and headers of their files, not where these lie."""
    files = tuple((file.name, file.size, file.header) for file in donor.files)
    return DonorIdentity(donor.name, donor.source, donor.revision, files)


def add_up_costs(steps: Sequence[Step], donors: Mapping[str, Donor]) -> Costs:
    """Bytes read, written and copied unchanged, and the peak of resident memory with two workers."""
    sizes = _tensor_sizes(donors.values())
    read = sum(count_bytes_read(step.expression, sizes) for step in steps)
    written = sum(step.tensor.nbytes for step in steps)
    moved = sum(_bytes_copied(step) for step in steps)
    return Costs(read, written, moved, peak_bytes(steps, workers=2))


def _tensor_sizes(donors: Iterable[Donor]) -> dict[TensorRef, int]:
    """Bytes of every tensor that is stored in a donor's file."""
    return {
        TensorRef(donor.name, name): tensor.extent.nbytes if tensor.extent else tensor.spec.nbytes
        for donor in donors
        for name, tensor in donor.tensors.items()
        if tensor.extent or tensor.expression is None
    }


def count_bytes_read(expression: Expression, sizes: Mapping[TensorRef, int]) -> int:
    """Bytes of donors read for one output tensor; each pass of a blend's op reads its sources again."""
    return sum(_leaf_bytes(leaf, sizes) for each in readings(expression) for leaf in needed_leaves(each))


def _leaf_bytes(leaf: Copy | Columns, sizes: Mapping[TensorRef, int]) -> int:
    size = sizes.get(leaf.tensor, 0)
    return size * leaf.count // leaf.width if isinstance(leaf, Columns) else size


def _bytes_copied(step: Step) -> int:
    """Bytes of an output tensor that are the donor's own."""
    if isinstance(step.expression, Copy):
        return step.tensor.nbytes
    if isinstance(step.expression, Concat):
        copied = sum(width for _, width, part in step.expression.parts() if isinstance(part, Columns))
        return step.tensor.nbytes * copied // sum(step.expression.widths)
    return 0


def find_files(plan: Plan, donors: Mapping[str, Donor]) -> dict[str, frozenset[str]]:
    """For each donor, the names of its files that hold tensors of the plan."""
    found: dict[str, set[str]] = {name: set() for name in donors}
    for step in plan.steps:
        for ref in read_tensors(step.expression):
            donor = donors[ref.donor]
            extent = donor.tensors[ref.name].extent
            if extent is not None:
                found[ref.donor].add(donor.files[extent.file].name)
    return {name: frozenset(names) for name, names in found.items()}


def find_unused(graph: StackGraph, donors: Mapping[str, Donor], planned: PlannedTensors) -> Iterator[Unused]:
    """Every donor tensor that no output tensor reads, with the reason."""
    used = {ref for each in planned.tensors for ref in read_tensors(each.expression)}
    layers = {(feed.donor, feed.layer) for node in graph.layers for feed in node.feeds}
    for donor in donors.values():
        for name, tensor in donor.tensors.items():
            if not _is_used(donor, tensor, used):
                yield Unused(TensorRef(donor.name, name), _explain_unused(graph, donor, tensor, layers))
        for name, reason in donor.ignored:
            yield Unused(TensorRef(donor.name, name), reason)


def _is_used(donor: Donor, tensor: DonorTensor, used: set[TensorRef]) -> bool:
    if tensor.expression is not None:
        return all(ref in used for ref in read_tensors(tensor.expression))
    return TensorRef(donor.name, tensor.spec.name) in used


def _explain_unused(graph: StackGraph, donor: Donor, tensor: DonorTensor, layers: set[tuple[str, int | None]]) -> str:
    if tensor.part is Part.LAYER and tensor.layer is None:
        return "none of the layers that have a part of it is in a slice"
    if tensor.part is Part.LAYER:
        if (donor.name, tensor.layer) in layers:
            return "the layers it is blended with have no such tensor"
        return f"layer {tensor.layer} is in no slice"
    node, name = (graph.embed, "embedding") if tensor.part is Part.EMBED else (graph.head, "head")
    return f"the {name} is {' + '.join(dict.fromkeys(feed.donor for feed in node.feeds))}'s"
