"""The books of a plan: donor tensors that are not used and why, and the bytes that a build will read and write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from stacker.arch.files.architecture import Part
from stacker.core.plan.kernels import readings
from stacker.core.plan.plan import Plan, Unused
from stacker.core.plan.tensors import PlannedTensors
from stacker.core.stack.graph import StackGraph
from stacker.core.values.donor import Donor, DonorTensor
from stacker.core.values.expression import Columns, Copy, Expression, leaves, needed_leaves
from stacker.tensors import TensorRef


def unused_tensors(graph: StackGraph, donors: Mapping[str, Donor], makings: PlannedTensors) -> Iterator[Unused]:
    """Every tensor of a donor that no output tensor reads, with the reason."""
    used = {ref for making in makings.tensors for ref in leaves(making.expression)}
    layers = {(feed.donor, feed.layer) for node in graph.layers for feed in node.feeds}
    for donor in donors.values():
        for name, tensor in donor.tensors.items():
            if not _is_used(donor, tensor, used):
                yield Unused(TensorRef(donor.name, name), _reason(graph, donor, tensor, layers))
        for name, reason in donor.ignored:
            yield Unused(TensorRef(donor.name, name), reason)


def _is_used(donor: Donor, tensor: DonorTensor, used: set[TensorRef]) -> bool:
    if tensor.expression is not None:
        return all(ref in used for ref in leaves(tensor.expression))
    return TensorRef(donor.name, tensor.spec.name) in used


def _reason(graph: StackGraph, donor: Donor, tensor: DonorTensor, layers: set[tuple[str, int | None]]) -> str:
    if tensor.part is Part.LAYER and tensor.layer is None:
        return "none of the layers that have a part of it is in a slice"
    if tensor.part is Part.LAYER:
        if (donor.name, tensor.layer) in layers:
            return "the layers it is blended with have no such tensor"
        return f"layer {tensor.layer} is in no slice"
    if tensor.part is Part.EMBED:
        return f"the embedding is {_names(graph, Part.EMBED)}'s"
    return f"the head is {_names(graph, Part.HEAD)}'s"


def _names(graph: StackGraph, part: Part) -> str:
    node = graph.embed if part is Part.EMBED else graph.head
    return " + ".join(dict.fromkeys(feed.donor for feed in node.feeds))


def bytes_read(expression: Expression, sizes: Mapping[TensorRef, int]) -> int:
    """Bytes of donors that one output tensor takes; a blend reads its sources once more for each pass of its op."""
    return sum(_taken(leaf, sizes) for each in readings(expression) for leaf in needed_leaves(each))


def _taken(leaf: Copy | Columns, sizes: Mapping[TensorRef, int]) -> int:
    size = sizes.get(leaf.tensor, 0)
    return size * leaf.count // leaf.width if isinstance(leaf, Columns) else size


def sizes_of(donors: Sequence[Donor]) -> dict[TensorRef, int]:
    """Bytes of every tensor that lies in a donor's file."""
    return {
        TensorRef(donor.name, name): tensor.extent.nbytes if tensor.extent else tensor.spec.nbytes
        for donor in donors
        for name, tensor in donor.tensors.items()
        if tensor.extent or tensor.expression is None
    }


def files_read(plan: Plan, donors: Mapping[str, Donor]) -> dict[str, frozenset[str]]:
    """The names of the files of each donor that hold tensors of the plan."""
    found: dict[str, set[str]] = {name: set() for name in donors}
    for step in plan.steps:
        for ref in leaves(step.expression):
            donor = donors[ref.donor]
            extent = donor.tensors[ref.name].extent
            if extent is not None:
                found[ref.donor].add(donor.files[extent.file].name)
    return {name: frozenset(names) for name, names in found.items()}
