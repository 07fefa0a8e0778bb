"""Turns the differences of two donors into the tensors and the config of a LoRA, with a report of what is left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from math import inf, sqrt
from typing import TYPE_CHECKING, Any

from stacker.core.values.donor import Donor, DonorTensor
from stacker.errors import DonorError, Problem, raise_problems
from stacker.progress import Watch, ignore_watch
from stacker.run.adapters.differences import BASE, TUNED, Difference, make_difference, read_tensor
from stacker.run.work.sources import OpenFiles

if TYPE_CHECKING:
    import numpy as np

    from stacker.arithmetic.low_rank import Approximation

_PREFIX = "base_model.model."
_MOST_LISTED = 5
LEFT_OUT = "left out"


@dataclass(frozen=True, slots=True)
class Wanted:
    """How exact the LoRA is: the rank of every product, or the share of each difference's squared norm to keep."""

    rank: int | None = None
    energy: float | None = None


@dataclass(frozen=True, slots=True)
class ExtractedTensor:
    """What a LoRA has of one tensor's change: `how` is `product`, `whole` or `left out`, and `rank` that of a product.

    `changed` is the norm of the change relative to that of the base's tensor, and `lost` the norm of what the LoRA
    leaves out, relative to that of the change.
    """

    name: str
    role: str
    how: str
    rank: int
    changed: float
    lost: float
    parameters: int


@dataclass(frozen=True, slots=True)
class Extraction:
    """A LoRA: its config, and the donors' tensors that differ; `unchanged` counts those that do not."""

    config: Mapping[str, Any]
    tensors: tuple[ExtractedTensor, ...]
    unchanged: int


Store = Callable[[str, "np.ndarray[Any, Any]"], None]
"""A function that stores one tensor of the LoRA under a name."""


@dataclass(slots=True)
class _Collected:
    """What the LoRA has so far: the ranks of products by module, the modules stored whole, and changed biases."""

    store: Store
    ranks: dict[str, int] = field(default_factory=dict)
    whole: dict[str, None] = field(default_factory=dict)
    biases: list[str] = field(default_factory=list)
    tensors: list[ExtractedTensor] = field(default_factory=list)
    unchanged: int = 0


def extract(tuned: Donor, base: Donor, wanted: Wanted, store: Store, watch: Watch = ignore_watch) -> Extraction:
    """Extract the LoRA that turns `base` into `tuned`, and pass each of its tensors to `store`.

    Linear layers and embeddings become products, and other changed modules are stored whole. `watch` is called with the
    number of bytes of the base done and in all. The donors must be named TUNED and BASE. DonorError if their tensors
    have different names or shapes.
    """
    donors = {**tuned.nested, **base.nested, TUNED: tuned, BASE: base}
    raise_problems(_check_containers(tuned, base))
    raise_problems(_check_alike(tuned, base))
    collected, done = _Collected(store), 0
    tensors = [tensor for tensor in base.tensors.values() if tensor.spec.dtype.arithmetic]
    total = sum(tensor.spec.nbytes for tensor in tensors)
    with closing(OpenFiles()) as sources:
        for tensor in tensors:
            difference = make_difference(tensor.spec.name, donors, sources)
            collected.tensors += _extract_tensor(donors, tensor, difference, wanted, collected)
            done += tensor.spec.nbytes
            watch(done, total)
        for name in (name for path in collected.whole for name in _list_module(base, path)):
            store(_PREFIX + name, read_tensor(donors[TUNED], name, donors, sources))
        for name in collected.biases:
            path = name.removesuffix(".bias")
            own = f"{path}.base_layer.bias" if path in collected.ranks else name
            store(_PREFIX + own, read_tensor(donors[TUNED], name, donors, sources))
    return Extraction(_make_config(base, collected), tuple(collected.tensors), collected.unchanged)


def _check_containers(tuned: Donor, base: Donor) -> Iterator[Problem]:
    for donor in (tuned, base):
        if donor.container == "gguf":
            message = f"{donor.source} is a GGUF file, whose names of tensors peft does not know"
            hint = "give checkpoints in safetensors, with transformers' names"
            yield Problem(message, hint, blame=DonorError.blame)


def _check_alike(tuned: Donor, base: Donor) -> Iterator[Problem]:
    apart = sorted(base.tensors.keys() ^ tuned.tensors.keys())
    if apart:
        hint = "a LoRA changes tensors, and adds none: compare the donors with `stacker diff`"
        message = f"{len(apart)} tensors are in only one of the donors: {', '.join(apart[:_MOST_LISTED])}"
        yield Problem(message, hint, blame=DonorError.blame)
    for name in sorted(base.tensors.keys() & tuned.tensors.keys()):
        one, other = tuned.tensors[name].spec, base.tensors[name].spec
        if one.shape != other.shape:
            message = f"{name} is {[*one.shape]} in {tuned.source}, but {[*other.shape]} in {base.source}"
            yield Problem(message, "rows of added tokens cannot be in a LoRA", blame=DonorError.blame)
        elif one.dtype.arithmetic != other.dtype.arithmetic:
            message = f"{name} is packed in only one of the donors"
            yield Problem(message, "use both donors in full precision", blame=DonorError.blame)


def _extract_tensor(
    donors: Mapping[str, Donor], tensor: DonorTensor, difference: Difference, wanted: Wanted, collected: _Collected
) -> Iterator[ExtractedTensor]:
    """Store what the LoRA has of one tensor's change, and yield a report of it; nothing if the tensor is unchanged."""
    held = difference.hold()
    total, size = held.sum_squares(), difference.sum_base_squares()
    if not total:
        collected.unchanged += 1
        return
    changed = sqrt(total / size) if size else inf
    if tensor.spec.name.endswith(".weight") and len(tensor.spec.shape) == 2:
        found = _approximate(held, wanted)
        _store_product(donors[BASE], tensor, found, collected)
        lost, count = sqrt(held.sum_rest_squares(found.left, found.right) / total), found.left.size + found.right.size
        yield ExtractedTensor(tensor.spec.name, tensor.role, "product", found.rank, changed, lost, count)
        return
    how = _mark_whole(donors[BASE], tensor, collected)
    count = 0 if how == LEFT_OUT else tensor.spec.elements
    yield ExtractedTensor(tensor.spec.name, tensor.role, how, 0, changed, float(how == LEFT_OUT), count)


def _approximate(difference: Difference, wanted: Wanted) -> Approximation:
    from stacker.arithmetic.low_rank import approximate, approximate_to

    if wanted.rank is not None:
        return approximate(difference.tiles, difference.shape, wanted.rank)
    return approximate_to(difference.tiles, difference.shape, wanted.energy or 1.0)


def _store_product(base: Donor, tensor: DonorTensor, found: Approximation, collected: _Collected) -> None:
    """Store both factors; where the head is tied to an embedding, also those of the head, as peft expects them."""
    path = tensor.spec.name.removesuffix(".weight")
    modules = [path]
    if tensor.role == "embed":
        modules = [head.removesuffix(".weight") for head, partner in base.tied() if partner == tensor.spec.name]
        collected.ranks[path] = found.rank
        collected.store(f"{_PREFIX}{path}.lora_embedding_A", found.left.T)
        collected.store(f"{_PREFIX}{path}.lora_embedding_B", found.right.T)
    for module in modules:
        collected.ranks[module] = found.rank
        collected.store(f"{_PREFIX}{module}.lora_A.weight", found.right)
        collected.store(f"{_PREFIX}{module}.lora_B.weight", found.left)


def _mark_whole(base: Donor, tensor: DonorTensor, collected: _Collected) -> str:
    """Note that a norm, convolution or bias is stored as it is; returns `whole`, or `left out` if peft has no place."""
    path, _, ending = tensor.spec.name.rpartition(".")
    weight = base.tensors.get(f"{path}.weight")
    if ending not in ("weight", "bias") or weight is None:
        return LEFT_OUT
    if ending == "bias" and len(weight.spec.shape) == 2:
        collected.biases.append(tensor.spec.name)
    else:
        collected.whole[path] = None
    return "whole"


def _list_module(base: Donor, path: str) -> list[str]:
    return [name for name in (f"{path}.weight", f"{path}.bias") if name in base.tensors]


def _make_config(base: Donor, collected: _Collected) -> dict[str, Any]:
    """The config of the LoRA; every product has the scaling 1, because α is the rank everywhere."""
    ranks = collected.ranks
    usual = Counter(ranks.values()).most_common(1)[0][0] if ranks else 1
    others = {path: rank for path, rank in ranks.items() if rank != usual}
    tied = any(head.removesuffix(".weight") in ranks for head, _ in base.tied())
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base.source,
        "r": usual,
        "lora_alpha": usual,
        "rank_pattern": others,
        "alpha_pattern": others,
        "target_modules": _shorten(base, ranks),
        "modules_to_save": [*collected.whole] or None,
        "bias": "all" if collected.biases else "none",
        "ensure_weight_tying": tied,
        "lora_dropout": 0.0,
        "inference_mode": True,
    }


def _shorten(base: Donor, ranks: Mapping[str, int]) -> list[str]:
    """The modules with products, by the last part of their path where all modules that end so have products."""
    modules = {name.removesuffix(".weight") for name in base.tensors if name.endswith(".weight")}
    partial = {_last(path) for path in modules - ranks.keys()}
    return sorted({path if _last(path) in partial else _last(path) for path in ranks})


def _last(path: str) -> str:
    return path.rpartition(".")[2]
