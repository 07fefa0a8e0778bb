"""The numbers of a stack before it exists: parameters, bytes, caches, memory, time. All of them from headers alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stacker.arch.dimensions import collect_names
from stacker.core.plan.plan import Plan
from stacker.core.stack.graph import StackGraph
from stacker.core.stack.nodes import Feed
from stacker.core.study.kv_cache import KvCache, kv_cache
from stacker.core.values.donor import Donor, DonorTensor

CONTEXTS = (4096, 32768)
"""Tokens for which the cache is told."""
WRITING = 2.0e9
"""Bytes/s of a durable build, measured with two cores and ext4; clones take no time beside it."""
COMPUTING = 8e9
"""Bytes/s at which blends take in their sources there."""
STARTING = 0.6
"""Seconds until the first tensor can be computed there."""
_CHOSEN = ("num_experts_per_tok", "experts_per_token", "num_experts_per_token", "moe_topk", "moe_k", "top_k_experts")
_EXPERTS = ("experts", "num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")


@dataclass(frozen=True, slots=True)
class Figures:
    """What a stack costs. Sizes in bytes, `seconds` at the speeds above; `active` None where the config does not say.

    `active` are the parameters at work for one token: all but the experts that are not chosen. `dtypes` gives the
    elements of each element type. `moved` are the bytes of `written` that are copied, or cloned where the filesystem
    can.
    """

    layers: int
    parameters: int
    active: int | None
    nbytes: int
    dtypes: tuple[tuple[str, int], ...]
    shards: int
    read: int
    written: int
    moved: int
    peak: int
    seconds: float
    cache: KvCache


def make_figures(graph: StackGraph, donors: Mapping[str, Donor], plan: Plan) -> Figures:
    """The figures of a stack that can be built."""
    return Figures(
        layers=len(graph.layers),
        parameters=plan.total_parameters,
        active=_active(graph, donors, plan.total_parameters),
        nbytes=plan.total_size,
        dtypes=_dtypes(plan),
        shards=len(plan.shards),
        read=plan.costs.read,
        written=plan.costs.written,
        moved=plan.costs.moved,
        peak=plan.costs.peak,
        seconds=_seconds(plan),
        cache=kv_cache(graph, donors, plan.config),
    )


def _dtypes(plan: Plan) -> tuple[tuple[str, int], ...]:
    """Elements by element type, the commonest first."""
    counts: dict[str, int] = {}
    for step in plan.steps:
        counts[step.tensor.dtype.label] = counts.get(step.tensor.dtype.label, 0) + step.tensor.elements
    return tuple(sorted(counts.items(), key=lambda item: -item[1]))


def _seconds(plan: Plan) -> float:
    """A guess: all is written, and what is computed must be read through the arithmetic first."""
    costs = plan.costs
    computed = costs.read - costs.moved
    return costs.written / WRITING + (STARTING + computed / COMPUTING if costs.written > costs.moved else 0.0)


def _active(graph: StackGraph, donors: Mapping[str, Donor], total: int) -> int | None:
    """The total without the experts that a token does not visit; the total itself where there are no experts."""
    tables = {name: donor.layers() for name, donor in donors.items()}
    asleep: dict[Feed, int | None] = {}
    sleeping = 0
    for node in graph.layers:
        feed = Feed(node.feeds[0].donor, node.feeds[0].layer)
        if feed not in asleep:
            asleep[feed] = _asleep(donors[feed.donor], tables[feed.donor][feed.layer or 0])
        found = asleep[feed]
        if found is None:
            return None
        sleeping += found
    return total - sleeping


def _asleep(donor: Donor, table: Mapping[str, DonorTensor]) -> int | None:
    """Parameters of a layer's experts that are not chosen for a token."""
    elements = sum(tensor.spec.elements for tensor in table.values() if _is_expert(tensor.role))
    if not elements:
        return 0
    names = collect_names(donor.architecture, donor.config)
    chosen, experts = _whole(names, _CHOSEN), _whole(names, _EXPERTS)
    return None if not chosen or not experts else elements - elements * min(chosen, experts) // experts


def _is_expert(role: str) -> bool:
    return ".expert" in role and ".shared" not in role


def _whole(names: Mapping[str, Any], keys: tuple[str, ...]) -> int | None:
    """The first of the entries that is a number."""
    found = (names.get(key) for key in keys)
    return next((value for value in found if isinstance(value, int) and not isinstance(value, bool)), None)


def figures_json(figures: Figures) -> dict[str, Any]:
    """The figures for programs; None is what cannot be known."""
    return {
        "layers": figures.layers,
        "parameters": figures.parameters,
        "active_parameters": figures.active,
        "bytes": figures.nbytes,
        "elements_by_dtype": dict(figures.dtypes),
        "shards": figures.shards,
        "bytes_read": figures.read,
        "bytes_written": figures.written,
        "bytes_moved_unchanged": figures.moved,
        "peak_memory": figures.peak,
        "seconds_estimated": round(figures.seconds, 1),
        "kv_cache": {str(tokens): figures.cache.nbytes(tokens) for tokens in CONTEXTS},
        "kv_cache_notes": list(figures.cache.notes),
    }
