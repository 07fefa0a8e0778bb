"""How far two checkpoints are from each other, as JSON; a distance that is infinite or not a number is null."""

from __future__ import annotations

from dataclasses import asdict
from math import isfinite
from typing import Any

from stacker.core.study.distances import Distance, WeightDistances, rank_layers


def weights_json(found: WeightDistances) -> dict[str, Any]:
    """The distances of the whole, of each role and layer, and of each tensor; and the tensors without a distance."""
    return {
        "same": found.same,
        **_distance_json(found.total),
        "roles": {role: _distance_json(each) for role, each in found.by_role().items()},
        "layers": [{"layer": layer, **_distance_json(each)} for layer, each in found.by_layer().items()],
        "most_changed": [layer for layer, distance in rank_layers(found) if distance],
        "cells": [
            {"role": role, "layer": layer, **_distance_json(each)} for (role, layer), each in found.by_cell().items()
        ],
        "tensors": [
            {"name": each.name, "role": each.role, "layer": each.layer, **_distance_json(each.distance)}
            for each in found.tensors
        ],
        "skipped": [asdict(each) for each in found.skipped],
    }


def _distance_json(distance: Distance) -> dict[str, Any]:
    return {
        "distance": _number(distance.relative),
        "cosine": _number(distance.cosine),
        "elements": distance.elements,
        "differing": distance.differing,
    }


def _number(value: float) -> float | None:
    return value if isfinite(value) else None
