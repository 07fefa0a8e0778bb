"""Reference results of every op by name, with fixed parameters, on whole tensors in fp64."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from stacker.arithmetic.numpy_backend import NUMPY
from stacker.ops.shared.draw import bound_of, draw_numbers
from stacker.ops.shared.op import Tile
from stacker.ops.table import OPS
from tests.ops import references
from tests.ops import task_references as papers
from tests.ops.blending import array_of

WEIGHTS = (0.75, 0.5)
DENSITY, GAMMA, EPSILON = 0.625, 0.125, 0.25
_T, _ALPHA, _SCALE, _LEAST = 0.3, 0.3, 0.3, 0.3
_EACH = {"density": DENSITY, "gamma": GAMMA, "epsilon": EPSILON}
_OWN: dict[str, dict[str, Any]] = {
    "passthrough": {"scale": _SCALE},
    "zero": {"scale": _SCALE},
    "wise_ft": {"alpha": _ALPHA},
    "slerp": {"t": _T},
    "nuslerp": {"nuslerp_flatten": False},
    "karcher": {"max_iter": 100, "tol": 1e-12},
    "sce": {"select_topk": DENSITY},
    "nearswap": {"t": _T},
    "ram": {"epsilon": _LEAST},
    "ramplus_tl": {"epsilon": _LEAST, "r": 0.1, "alpha": 0.2},
}


def parameters_of(op: str) -> tuple[dict[str, Any], list[dict[str, float]]]:
    """The op's own parameters and those of each of its sources, as many as it takes, at most two."""
    count = OPS[op].arity[1] or 2
    names = {parameter.name for parameter in OPS[op].parameters if parameter.per_source}
    given = ({**_EACH, "weight": weight} for weight in WEIGHTS[:count])
    return _OWN.get(op, {}), [{name: each[name] for name in each if name in names} for each in given]


def reference(op: str, name: str, sources: Sequence[torch.Tensor], base: torch.Tensor) -> torch.Tensor:
    """The result for the tensor `name` in fp64; differences are taken in fp32, or in fp64 if a source has that type."""
    wide = torch.float64 in {tensor.dtype for tensor in (*sources, base)}
    *held, origin = (tensor.to(torch.float64 if wide else torch.float32) for tensor in (*sources, base))
    if OPS[op].parameter("lambda"):
        return origin.double() + _added(op, name, papers.changes(held, origin))
    return _others(op, references.double(*held), origin.double())


def _added(op: str, name: str, deltas: list[torch.Tensor]) -> torch.Tensor:
    """The term that an op of the task-vector family adds to the base."""
    weights = WEIGHTS[: len(deltas)]
    sparse = [_sparse(op, name, number, delta) for number, delta in enumerate(deltas)]
    if op.endswith("ties") or op == "della":
        return papers.agreed(sparse, weights, normalize=op in ("ties", "della"))
    return papers.added(sparse, weights)


def _sparse(op: str, name: str, number: int, delta: torch.Tensor) -> torch.Tensor:
    match op.partition("_")[0]:
        case "task":
            return delta
        case "ties":
            return papers.largest(delta, DENSITY)
        case "breadcrumbs":
            return papers.crumbs(delta, DENSITY, GAMMA)
        case _:
            tile = Tile([array_of(delta, NUMPY)], NUMPY, seed=name)
            drawn = torch.as_tensor(draw_numbers(tile, number)).view(delta.shape)
            return papers.restored(delta * (drawn < _bounds(op, delta)), delta)


def _bounds(op: str, delta: torch.Tensor) -> torch.Tensor:
    """The bounds below which a random number keeps an element."""
    if op.startswith("dare"):
        return torch.tensor(bound_of(DENSITY))
    order = delta.float().abs().sort(dim=-1, stable=True).indices
    chances = torch.linspace(DENSITY - EPSILON, DENSITY + EPSILON, delta.shape[-1], dtype=torch.float64)
    return torch.empty_like(delta).scatter_(-1, order, chances.expand_as(order)) * 2.0**31


def _others(op: str, sources: list[torch.Tensor], base: torch.Tensor) -> torch.Tensor:
    match op:
        case "passthrough" | "zero":
            return _SCALE * sources[0]
        case "linear":
            return references.linear(sources, WEIGHTS)
        case "mean":
            return references.linear(sources, [1, 1])
        case "wise_ft":
            return references.linear([base, sources[0]], [1 - _ALPHA, _ALPHA])
        case "slerp":
            return references.nuslerp(sources, [1 - _T, _T], None, "whole")
        case "nuslerp" if base.dim() == 1:
            return references.nuslerp(sources, WEIGHTS, base, "whole")
        case "nuslerp":
            return references.nuslerp(sources, WEIGHTS, base, "rows")
        case _:
            return _more(op, sources, base)


def _more(op: str, sources: list[torch.Tensor], base: torch.Tensor) -> torch.Tensor:
    match op:
        case "multislerp":
            return references.multislerp(sources, WEIGHTS, base)
        case "karcher":
            return references.karcher(sources)
        case "model_stock":
            return references.model_stock(sources, base)
        case "nearswap":
            return references.nearswap(sources[0], base, _T)
        case "arcee_fusion":
            return papers.arcee_fusion(sources[0], base)
        case "sce":
            return base + papers.sce([source - base for source in sources], DENSITY)
        case "ram":
            return references.ram(sources, base, epsilon=_LEAST)
        case "ramplus_tl":
            return references.ram(sources, base, r=0.1, alpha=0.2, epsilon=_LEAST)
    raise KeyError(op)
