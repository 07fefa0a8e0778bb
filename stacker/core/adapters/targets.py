"""Finds the tensors of a donor that an adapter's module stands for.

An adapter names modules as they are called in memory, where peft saw the model. Checkpoints may lack the first part of
these names, or have one tensor for each expert where the model in memory has one for all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from stacker.core.values.donor import Donor, DonorTensor

_WRAPPING = frozenset({"model", "language_model", "text_model", "transformer", "thinker", "decoder", "llm"})
"""The names of modules around a language model, which some checkpoints have in front of its tensors' names."""
_RENAMED = (
    (".mlp.", ".block_sparse_moe."),
    (".experts.gate_up_proj", ".input_linear.weight"),
    (".experts.down_proj", ".output_linear.weight"),
    (".router.weight", ".router.layer.weight"),
)
"""Parts of names in memory, each with what some checkpoints have in its place."""
_EXPERT = re.compile(r"\.(\d+)\.")
_PROJECTIONS = {
    "gate_up_proj": ("mlp.gate.expert", "mlp.up.expert"),
    "down_proj": ("mlp.down.expert",),
    "up_proj": ("mlp.up.expert",),
}
"""The parameters that hold the matrices of all experts in memory, with the roles of the tensors of single experts."""


@dataclass(frozen=True, slots=True)
class ExpertTensor:
    """The tensor of one expert, whose rows are those from `first` on in the matrix of the expert in memory."""

    tensor: DonorTensor
    expert: int
    first: int


@dataclass(frozen=True, slots=True)
class Targets:
    """The tensors of a donor; `body` maps their names without the modules around the language model to their names."""

    donor: Donor
    body: dict[str, list[str]] = field(repr=False)

    def find(self, name: str) -> DonorTensor | None:
        """The tensor that is called `name` in memory; None if the donor has no such tensor, or more than one."""
        return next((found for each in _list_spellings(name) if (found := self._find(each))), None)

    def _find(self, name: str) -> DonorTensor | None:
        exact = self.donor.tensors.get(name)
        close = self.body.get(_strip_wrapping(name), []) if exact is None else []
        return self.donor.tensors[close[0]] if len(close) == 1 else exact

    def find_tied(self, name: str) -> tuple[str, DonorTensor] | None:
        """For a head that is tied to an embedding and not stored: its name in the donor, and the embedding's tensor."""
        pairs = dict(self.donor.tied())
        matching = [head for head in pairs if head == name or _strip_wrapping(head) == _strip_wrapping(name)]
        return (matching[0], self.donor.tensors[pairs[matching[0]]]) if len(matching) == 1 else None

    def find_experts(self, path: str, parameter: str) -> tuple[tuple[ExpertTensor, ...], int]:
        """The tensors of single experts that the parameter of the module at `path` holds, and the number of experts.

        The result is ((), 0) if the donor has no such tensors.
        """
        layer = re.search(r"\.(\d+)(?=\.)", f"{path}.")
        found: list[ExpertTensor] = []
        first = 0
        for role in _PROJECTIONS.get(parameter, ()):
            own = [*self._list_experts(role, int(layer[1]))] if layer else []
            if not own:
                return (), 0
            found += (ExpertTensor(tensor, expert, first) for expert, tensor in own)
            first += own[0][1].spec.shape[0]
        return tuple(found), 1 + max((each.expert for each in found), default=-1)

    def _list_experts(self, role: str, layer: int) -> Iterator[tuple[int, DonorTensor]]:
        for tensor in self.donor.tensors.values():
            number = _EXPERT.search(tensor.suffix)
            if tensor.layer == layer and tensor.role == role and number and len(tensor.spec.shape) == 2:
                yield int(number[1]), tensor


def index_targets(donor: Donor) -> Targets:
    """The tensors of a donor by the names that adapters may use."""
    body: dict[str, list[str]] = {}
    for name in donor.tensors:
        body.setdefault(_strip_wrapping(name), []).append(name)
    return Targets(donor, body)


def _strip_wrapping(name: str) -> str:
    """A tensor's name without the modules around the language model at its beginning."""
    steps = name.split(".")
    count = next((number for number, step in enumerate(steps) if step not in _WRAPPING), 0)
    return ".".join(steps[count:])


def _list_spellings(name: str) -> Iterator[str]:
    yield name
    yield from (name.replace(one, other) for one, other in _RENAMED if one in name)
