"""Makes the Plan of a checked stack: layout, costs, unused donor tensors with the reason, and the plan id."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from stacker.arch.conventions import WRAPPER_ROLE
from stacker.arch.files.architecture import Part
from stacker.arch.placement import place_tensors
from stacker.core.plan.costs import add_up_costs
from stacker.core.plan.descriptions import describe_tensors
from stacker.core.plan.expression_json import expression_to_json
from stacker.core.plan.layout import lay_out
from stacker.core.plan.packing import Packing, make_gguf_packing, make_safetensors_packing
from stacker.core.plan.plan import DonorIdentity, Plan, Unused
from stacker.core.plan.plan_json import hash_plan, plan_to_json
from stacker.core.plan.shard_layout import Layout
from stacker.core.plan.tensors import PlannedTensor, PlannedTensors
from stacker.core.stack.graph import StackGraph
from stacker.core.values.donor import Donor, DonorTensor, SideFile, collect_donors
from stacker.core.values.expression_parts import find_tensor_refs, rename_donors
from stacker.core.values.metadata import MetadataEntry
from stacker.formats.gguf import ALIGNMENT, ALIGNMENT_KEY
from stacker.formats.json_object import Json
from stacker.tensors import TensorRef


def make_plan(
    name: str,
    graph: StackGraph,
    donors: Mapping[str, Donor],
    planned: PlannedTensors,
    config: dict[str, Json],
    layout: Layout,
    metadata: tuple[MetadataEntry, ...] = (),
) -> Plan:
    """Make the plan of a build from the checked tensors of a stack; no weights are read.

    If `metadata` is not empty, the output is a GGUF file, and `config` has the same entries.
    """
    unused = tuple(find_unused(graph, donors, planned))
    descriptions = describe_tensors(planned.tensors, donors)
    packing = (
        choose_gguf_packing(planned.tensors, metadata, unused) if metadata else make_safetensors_packing(descriptions)
    )
    steps, shards = lay_out(planned.tensors, donors, layout, packing)
    known = collect_donors(donors)
    plan = Plan(
        id="",
        name=name,
        config=config,
        steps=steps,
        shards=shards,
        layout=layout,
        donors=tuple(identify_donor(donor) for donor in known.values()),
        costs=add_up_costs(steps, known),
        unused=unused,
        tied=planned.tied,
        metadata=metadata,
        descriptions=descriptions,
    )
    return replace(plan, id=hash_plan(plan_to_json(plan)))


def choose_gguf_packing(
    tensors: Sequence[PlannedTensor], metadata: tuple[MetadataEntry, ...], unused: Sequence[Unused]
) -> Packing:
    """How the tensors are put into GGUF files with this metadata."""
    alignment = next((each.value for each in metadata if each.key == ALIGNMENT_KEY), ALIGNMENT)
    assert isinstance(alignment, int)
    return make_gguf_packing(metadata, alignment, len(tensors), measure_lock(tensors, metadata, unused))


_LOCK_STEP = 1 << 16
_LOCK_TEXTS = 1 << 15
"""Bytes of the lock that are left for the spec and the places of donors."""


def measure_lock(tensors: Sequence[PlannedTensor], metadata: Sequence[MetadataEntry], unused: Sequence[Unused]) -> int:
    """The room to leave for the lock in a GGUF file, in bytes; it is generous, so that small changes do not move it."""
    expressions = sum(len(json.dumps(expression_to_json(each.expression))) for each in tensors)
    names = sum(2 * len(each.tensor.name) + 200 for each in tensors)
    left = sum(len(str(each.tensor)) + len(each.reason) + 40 for each in unused)
    entries = sum(3 * len(json.dumps([each.key, each.value])) + 100 for each in metadata)
    return -(-(expressions + names + left + entries + _LOCK_TEXTS) // _LOCK_STEP) * _LOCK_STEP


def identify_donor(donor: Donor) -> DonorIdentity:
    """What a plan stores to recognise a donor: its name, source and revision, and data about each of its files."""
    files = tuple((file.name, file.size, file.header) for file in donor.files)
    return DonorIdentity(donor.name, donor.source, donor.revision, files)


def find_files(plan: Plan, donors: Mapping[str, Donor]) -> dict[str, frozenset[str]]:
    """For each donor name, the names of the donor's files that contain tensors which the plan uses."""
    found: dict[str, set[str]] = {name: set() for name in donors}
    for step in plan.steps:
        for ref in find_tensor_refs(step.expression):
            donor = donors[ref.donor]
            extent = donor.find_stored(ref.name).extent
            if extent is not None:
                found[ref.donor].add(donor.files[extent.file].name)
    return {name: frozenset(names) for name, names in found.items()}


def find_unused(graph: StackGraph, donors: Mapping[str, Donor], planned: PlannedTensors) -> Iterator[Unused]:
    """Yield every donor tensor that no output tensor uses, with the reason."""
    used = {ref for each in planned.tensors for ref in find_tensor_refs(each.expression)}
    layers = {(feed.donor, feed.layer) for node in graph.layers for feed in node.feeds}
    for donor in donors.values():
        for name, tensor in donor.tensors.items():
            if not _is_used(donor, tensor, used):
                yield Unused(TensorRef(donor.name, name), _explain_unused(graph, donor, tensor, layers))
        for name, reason in donor.ignored:
            yield Unused(TensorRef(donor.name, name), reason)


def _is_used(donor: Donor, tensor: DonorTensor, used: set[TensorRef]) -> bool:
    if tensor.expression is not None:
        return all(ref in used for ref in find_tensor_refs(tensor.expression))
    return TensorRef(donor.name, tensor.spec.name) in used


def _explain_unused(graph: StackGraph, donor: Donor, tensor: DonorTensor, layers: set[tuple[str, int | None]]) -> str:
    if tensor.part is Part.LAYER and tensor.layer is None:
        return "none of the layers that have a part of it is in a slice"
    if tensor.part is Part.LAYER:
        if (donor.name, tensor.layer) in layers:
            return "the layers it is blended with have no such tensor"
        return f"layer {tensor.layer} is in no slice"
    if donor.architecture.inner and tensor.role == WRAPPER_ROLE and graph.towers not in (None, donor.name):
        return f"the parts beside the language model are {graph.towers}'s"
    node, name = (graph.embed, "embedding") if tensor.part is Part.EMBED else (graph.head, "head")
    return f"the {name} is {' + '.join(dict.fromkeys(feed.donor for feed in node.feeds))}'s"


def make_stacked_donor(
    name: str, source: str, plan: Plan, template: Donor, files: tuple[SideFile, ...], inner: Mapping[str, Donor]
) -> Donor:
    """A donor with the tensors that `plan` describes, without building them.

    It has the architecture of `template` and the side files `files`. The donors `inner` are renamed to
    `name/inner name`, so that two stacks may use the same name for different donors.
    """
    placements = place_tensors(template.architecture, plan.config, {s.tensor.name: s.tensor for s in plan.steps})
    tensors = {}
    for step in plan.steps:
        place = placements[step.tensor.name]
        expression = rename_donors(step.expression, name)
        tensors[step.tensor.name] = DonorTensor(
            step.tensor, place.part, place.role, place.layer, place.suffix, expression=expression
        )
    nested = {
        f"{name}/{key}": replace(donor, name=f"{name}/{key}", nested={}) for key, donor in collect_donors(inner).items()
    }
    return Donor(
        name=name,
        source=source,
        config=plan.config,
        architecture=template.architecture,
        depth=1 + max((tensor.layer for tensor in tensors.values() if tensor.layer is not None), default=-1),
        tensors=tensors,
        side_files=files,
        weights=all(donor.weights for donor in inner.values()),
        quantized=next((donor.quantized for donor in inner.values() if donor.quantized), ""),
        metadata=tuple(map(partial(_rename_entry, name), plan.metadata)),
        alignment=template.alignment,
        nested=nested,
    )


def _rename_entry(name: str, entry: MetadataEntry) -> MetadataEntry:
    source = entry.source and replace(entry.source, donor=f"{name}/{entry.source.donor}")
    return replace(entry, source=source)
