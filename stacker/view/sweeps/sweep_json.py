"""A sweep as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from stacker.measure.results import Estimate
from stacker.search.sweeps.results import Sweep, Trial


def sweep_json(found: Sweep) -> dict[str, Any]:
    """All trials in order, the best, and what is said about it."""
    return {
        "name": found.name,
        "measure": found.measure.name,
        "axes": {axis.name: [*axis.values] for axis in found.axes},
        "items": found.items,
        "kept_apart": found.kept,
        "own": _trial_json(found.own),
        "trials": [*map(_trial_json, found.trials)],
        "best": found.best,
        "final": _estimate_json(found.final),
        "verdict": found.verdict,
        "chance": asdict(found.chance) if found.chance else None,
        "cached": found.cached,
    }


def _trial_json(trial: Trial) -> dict[str, Any]:
    figures = {measure.name: value for measure, value in (trial.figures or {}).items()}
    known = {"plan": trial.plan, "layers": trial.layers, "figures": figures}
    result = {"failure": trial.failure} if trial.failure else known
    return {"point": dict(trial.point), **result, "difference": _estimate_json(trial.difference)}


def _estimate_json(estimate: Estimate | None) -> dict[str, Any] | None:
    return None if estimate is None else asdict(estimate)
