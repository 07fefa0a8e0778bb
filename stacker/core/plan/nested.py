"""A stack as a donor of another stack: its planned tensors become donor tensors, computed instead of stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from stacker.arch.placement import place_tensors
from stacker.core.plan.plan import Plan
from stacker.core.values.donor import GENERATION, Donor, DonorTensor, SideFile, all_donors
from stacker.core.values.expression import rename_donors


def donor_of_plan(
    name: str, source: str, plan: Plan, template: Donor, tokenizer: Donor, inner: Mapping[str, Donor]
) -> Donor:
    """The donor that building `plan` would produce, without building it.

    It has the architecture of `template` and the files of `tokenizer`. The `inner` donors are renamed to
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
        f"{name}/{key}": replace(donor, name=f"{name}/{key}", nested={}) for key, donor in all_donors(inner).items()
    }
    return Donor(
        name=name,
        source=source,
        config=plan.config,
        architecture=template.architecture,
        depth=1 + max((tensor.layer for tensor in tensors.values() if tensor.layer is not None), default=-1),
        tensors=tensors,
        side_files=carried(template, tokenizer),
        weights=all(donor.weights for donor in inner.values()),
        quantized=next((donor.quantized for donor in inner.values() if donor.quantized), ""),
        nested=nested,
    )


def carried(template: Donor, tokenizer: Donor) -> tuple[SideFile, ...]:
    """The side files of a stack: the generation config of its template, everything else of its tokenizer's donor."""
    how = (file for file in template.side_files if file.name == GENERATION)
    return (*how, *(file for file in tokenizer.side_files if file.name != GENERATION))
