"""Finds the tensors of a stack's ends, its embedding and head, under the names that the template's architecture uses.

Donors may name these tensors differently: a base model's lack "model.", and those of a language model in a wrapper
begin with the names of the modules around it. The tensors of a wrapper outside its language model, such as those of a
vision encoder, are called its towers.
"""

from __future__ import annotations

from stacker.arch.conventions import WRAPPER_ROLE
from stacker.arch.files.architecture import Architecture, Part
from stacker.arch.inference import find_module_path
from stacker.core.values.donor import Donor, DonorTensor

_MODEL = "model."


def find_end(donor: Donor, part: Part, template: Donor, towers: str | None = None) -> dict[str, DonorTensor]:
    """The tensors of a donor's embedding or head (`part`), by their names in a stack with the config of `template`.

    If the template is a wrapper, the donor's towers are included, unless `towers` names another donor for them.
    """
    source, target = donor.architecture, template.architecture
    return {
        rename_end(name, _role_in(part, tensor), source, target): tensor
        for name, tensor in donor.outside(part).items()
        if (target.inner and towers is None) or not _is_tower(tensor, source)
    }


def find_towers(donor: Donor, template: Donor) -> dict[str, DonorTensor]:
    """The tensors of a wrapper outside its language model, by their names in a stack with the config of `template`."""
    source, target = donor.architecture, template.architecture
    return {
        rename_end(name, tensor.role, source, target): tensor
        for name, tensor in donor.tensors.items()
        if tensor.part is Part.EMBED and target.inner and _is_tower(tensor, source)
    }


def _role_in(part: Part, tensor: DonorTensor) -> str:
    """The tensor's role; "head" for the embedding's tensor if it serves as the head."""
    return "head" if part is Part.HEAD and tensor.part is Part.EMBED else tensor.role


def find_ties(donor: Donor, template: Donor) -> dict[str, str]:
    """The names of a donor's head tensors that are not stored, each with the name of the tensor that it equals.

    The names are those in a stack with the config of `template`.
    """
    source, target = donor.architecture, template.architecture
    return {
        rename_end(name, "head", source, target): rename_end(partner, donor.tensors[partner].role, source, target)
        for name, partner in donor.tied()
    }


def _is_tower(tensor: DonorTensor, architecture: Architecture) -> bool:
    """Whether a tensor belongs to a wrapper, but not to its language model."""
    if not architecture.inner or tensor.role != WRAPPER_ROLE:
        return False
    within = tensor.spec.name.startswith(architecture.inner) and architecture.inner != _MODEL
    return not within and all(each.name != tensor.spec.name for each in architecture.tensors)


def rename_end(name: str, role: str, source: Architecture, target: Architecture) -> str:
    """The name in `target` of the tensor that `source` calls `name`; both are variants of one family's architecture.

    `role` is the tensor's role. Names of tensors of the language model begin with the path of its module in each
    architecture; those of heads begin with the path around that module.
    """
    if source.prefix == target.prefix:
        return name
    if role == WRAPPER_ROLE and not name.startswith(source.inner or name):
        return _find_root(target) + name.removeprefix(_find_root(source))
    body = find_module_path(source.prefix)
    if name.startswith(body) and (body or not role.startswith("head")):
        return find_module_path(target.prefix) + name.removeprefix(body)
    stated = {one: other for (one, _), (other, _) in zip(source.tied, target.tied, strict=False)}
    return stated.get(name, _find_outer(target) + name.removeprefix(_find_outer(source)))


def _find_outer(architecture: Architecture) -> str:
    """What the names of heads begin with: "language_model." if the layers are in "language_model.model."."""
    inner = architecture.inner
    return inner.removesuffix(_MODEL) if inner.endswith(f".{_MODEL}") else ""


def _find_root(architecture: Architecture) -> str:
    """What the names of towers begin with: "model." if the language model is in "model.language_model."."""
    return _MODEL if architecture.inner.startswith(_MODEL) else ""
