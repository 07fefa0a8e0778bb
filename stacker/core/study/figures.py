"""Computes figures of a stack before it is built: parameters, bytes, KV cache, memory, time.

It reads only the donors' configs and file headers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from stacker.arch.dimensions import collect_names
from stacker.core.plan.plan import Plan
from stacker.core.stack.graph import StackGraph
from stacker.core.stack.nodes import Feed
from stacker.core.study.build_time import DEFAULT_SPEEDS, Speeds, count_work, predict_seconds
from stacker.core.study.kv_cache import KvCache, estimate_kv_cache
from stacker.core.study.sizes import ModelSizes, find_first_int, find_sizes, predict_weights
from stacker.core.values.donor import Donor, DonorTensor

CONTEXTS = (4096, 32768)
"""Sequence lengths, in tokens, for which the size of the KV cache is shown; at most the model's context."""
_CHOSEN = ("num_experts_per_tok", "experts_per_token", "num_experts_per_token", "moe_topk", "moe_k", "top_k_experts")
_EXPERTS = ("experts", "num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")


@dataclass(frozen=True, slots=True)
class Figures:
    """The size and cost of a stack: `nbytes`, `read`, `written`, `moved` and `peak` memory are in bytes.

    `active` counts the parameters used for one token, without inactive experts (None if unknown), and `dtypes` has
    pairs (element type, number of elements). `moved` is the part of `written` that is copied unchanged, `seconds` is
    the estimated build time, and `speeds` are those of the machine that it was estimated with.
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
    speeds: Speeds
    cache: KvCache
    sizes: ModelSizes

    @property
    def contexts(self) -> tuple[int, ...]:
        """The sequence lengths, in tokens, for which the size of the KV cache is shown."""
        return tuple(sorted({min(tokens, self.sizes.context or tokens) for tokens in CONTEXTS}))


def make_figures(
    graph: StackGraph, donors: Mapping[str, Donor], plan: Plan, speeds: Speeds = DEFAULT_SPEEDS
) -> Figures:
    """Compute the figures of a stack that has no errors, from its graph, its plan and the speeds of the machine."""
    return Figures(
        layers=len(graph.layers),
        parameters=plan.total_parameters,
        active=_count_active(graph, donors, plan.total_parameters),
        nbytes=plan.total_size,
        dtypes=_dtypes(plan),
        shards=len(plan.shards),
        read=plan.costs.read,
        written=plan.costs.written,
        moved=plan.costs.moved,
        peak=plan.costs.peak,
        seconds=predict_seconds(count_work(plan), speeds),
        speeds=speeds,
        cache=estimate_kv_cache(graph, donors, plan.config),
        sizes=find_sizes(donors[graph.template].architecture, plan.config),
    )


def _dtypes(plan: Plan) -> tuple[tuple[str, int], ...]:
    """Pairs (element type, number of elements of this type), sorted by the number, the largest first."""
    counts: dict[str, int] = {}
    for step in plan.steps:
        counts[step.tensor.dtype.label] = counts.get(step.tensor.dtype.label, 0) + step.tensor.elements
    return tuple(sorted(counts.items(), key=lambda item: -item[1]))


def _count_active(graph: StackGraph, donors: Mapping[str, Donor], total: int) -> int | None:
    """The number of parameters used for one token, which leaves out inactive experts; `total` counts all parameters.

    None if the config does not say how many experts are active.
    """
    tables = {name: donor.layers() for name, donor in donors.items()}
    inactive: dict[Feed, int | None] = {}
    skipped = 0
    for node in graph.layers:
        feed = Feed(node.feeds[0].donor, node.feeds[0].layer)
        if feed not in inactive:
            inactive[feed] = _count_inactive(donors[feed.donor], tables[feed.donor][feed.layer or 0])
        count = inactive[feed]
        if count is None:
            return None
        skipped += count
    return total - skipped


def _count_inactive(donor: Donor, table: Mapping[str, DonorTensor]) -> int | None:
    """How many expert parameters of a layer are not used for one token; `table` has the layer's tensors by name.

    None if the config does not say how many experts are active.
    """
    elements = sum(tensor.spec.elements for tensor in table.values() if _is_expert(tensor.role))
    if not elements:
        return 0
    names = collect_names(donor.architecture, donor.config)
    chosen, experts = find_first_int(names, _CHOSEN), find_first_int(names, _EXPERTS)
    return None if not chosen or not experts else elements - elements * min(chosen, experts) // experts


def _is_expert(role: str) -> bool:
    return ".expert" in role and ".shared" not in role


def figures_json(figures: Figures) -> dict[str, Any]:
    """The figures as a JSON object, where unknown values are null."""
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
        "seconds_from": figures.speeds.origin.value,
        "kv_cache": {str(tokens): figures.cache.nbytes(tokens) for tokens in figures.contexts},
        "kv_cache_notes": list(figures.cache.notes),
        "sizes": asdict(figures.sizes),
        "weights_by_bits": {str(bits): nbytes for bits, nbytes in predict_weights(figures.parameters).items()},
    }
