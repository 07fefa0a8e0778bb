"""Says how much memory a live stack takes before it is loaded. Imports no torch."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass

from stacker.core.plan.plan import Step
from stacker.core.values.expression import Copy
from stacker.errors import SpecError
from stacker.live.forecast.blueprint import Blueprint
from stacker.live.forecast.weight_keys import WeightKey
from stacker.tensors import CONFIG_DTYPES, Dtype

WINDOW = 3
"""How many layers are in memory when they are streamed: one that computes, one that is ready, one that is read."""
MB = 1_000_000


@dataclass(frozen=True, slots=True)
class LiveMemory:
    """The memory of a live stack in bytes: `weights` for all that differ, and `repeated` that sharing saves.

    `mapped` is the part of `weights` that on the processor is the page cache of the donors' files, unless transformers
    has to convert them. `cache` is the KV cache of one sequence of `tokens` tokens, or None if unknown. `streamed` is
    the least that the weights take when layers are streamed.
    """

    layers: int
    distinct: int
    weights: int
    repeated: int
    mapped: int
    streamed: int
    tokens: int
    cache: int | None


def predict_memory(blueprint: Blueprint, dtype: str | None = None, tokens: int = 2048) -> LiveMemory:
    """The memory of a live stack whose parameters have the type `dtype`, or else the type that its config names."""
    kept = CONFIG_DTYPES.get(
        dtype or str(blueprint.plan.config.get("dtype") or blueprint.plan.config.get("torch_dtype"))
    )
    seen: dict[object, int] = {}
    layers: dict[int | None, list[object]] = defaultdict(list)
    sizes: dict[int | None, int] = defaultdict(int)
    mapped = total = 0
    for step in blueprint.plan.steps:
        key, size = blueprint.keys[step.tensor.name], _live_size(step, kept)
        layer = blueprint.placements[step.tensor.name].layer
        layers[layer].append(key)
        sizes[layer] += size + (step.tensor.nbytes if size != step.tensor.nbytes or _is_expert(step) else 0)
        total += size
        if key not in seen:
            seen[key] = size
            mapped += size if _is_mapped(step, key, size) else 0
    weights = sum(seen.values())
    ends, inside = sizes.pop(None, 0), [*sizes.values()]
    return LiveMemory(
        layers=len(inside),
        distinct=len({frozenset(keys) for layer, keys in layers.items() if layer is not None}),
        weights=weights,
        repeated=total - weights,
        mapped=mapped,
        streamed=ends + WINDOW * max(inside, default=0),
        tokens=tokens,
        cache=blueprint.cache.nbytes(tokens),
    )


def _live_size(step: Step, kept: Dtype | None) -> int:
    """The bytes of a step's tensor in memory: floats take the type `kept`, unless it is None."""
    tensor = step.tensor
    return tensor.elements * kept.bits // 8 if kept and tensor.dtype.arithmetic else tensor.nbytes


def _is_mapped(step: Step, key: WeightKey, size: int) -> bool:
    """Whether a tensor that takes `size` bytes in memory is used where it is in its donor's file."""
    return isinstance(key.expression, Copy) and size == step.tensor.nbytes and not _is_expert(step)


def _is_expert(step: Step) -> bool:
    """Whether a tensor is that of one expert, which transformers joins with those of the others in new memory."""
    return re.search(r"\.experts\.\d+\.", step.tensor.name) is not None


def choose_streaming(memory: LiveMemory, limit: int | None) -> bool:
    """Whether the layers must be streamed so that the weights take at most `limit` bytes (None: no limit).

    SpecError if not even that is possible; it names the least that would do.
    """
    if limit is None or memory.weights <= limit:
        return False
    if memory.streamed > limit:
        least = -(-memory.streamed // MB)
        message = f"{limit // MB} MB are too few: the weights take {-(-memory.weights // MB)} MB, streamed {least} MB"
        raise SpecError.of(message, f"allow at least --max-memory {least}MB")
    return True


def check_available(memory: LiveMemory, available: int | None) -> None:
    """Raise a SpecError if the weights that have to be in memory need more than the `available` bytes (None: unknown).

    Mapped weights are not counted, because the system can drop their pages and read them again.
    """
    needed = memory.weights - memory.mapped
    if available is not None and needed > available:
        message = f"the weights take {needed // MB} MB of memory, and {available // MB} MB are available"
        raise SpecError.of(message, f"stream the layers: --max-memory {-(-memory.streamed // MB)}MB is the least")
