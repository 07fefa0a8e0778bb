"""Turns what probes found into JSON values; numbers that are not finite become null."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from stacker.measure.probes.edits import Edit
from stacker.measure.probes.results import Change, DepthMap, Interval, Likeness, Proposal, Survey
from stacker.view.probes.words import verdict_text


def survey_json(survey: Survey) -> dict[str, Any]:
    """What the layers do, with the angular distance between each two states."""
    nearest = [(length, *survey.find_nearest(length)) for length in range(1, survey.depth)]
    runs = [{"start": start, "stop": start + length, "distance": _number(far)} for length, start, far in nearest]
    return {**_replace(asdict(survey)), "nearest": runs}


def map_json(found: DepthMap) -> dict[str, Any]:
    """A map of edits; intervals are in nats a token."""
    chance = asdict(found.chance) if found.chance else None
    head = {"name": found.name, "depth": found.depth, "loss": _number(found.loss), "tokens": found.tokens}
    return head | {
        "total": found.total,
        "unrefined": found.unrefined,
        "chance": _replace(chance),
        "changes": [*map(change_json, found.changes)],
    }


def change_json(change: Change) -> dict[str, Any]:
    """An edit and how it changes the loss."""
    return edit_json(change.edit) | {
        "change": _number(change.alone.mean),
        "alone": _interval_json(change.alone),
        "among": _interval_json(change.among),
        "draft": change.is_draft,
    }


def edit_json(edit: Edit) -> dict[str, Any]:
    """An edit of layers [start, stop)."""
    return {"way": str(edit.way), "start": edit.start, "stop": edit.stop, "factor": edit.factor}


def proposal_json(proposal: Proposal) -> dict[str, Any]:
    """A proposal with the text of its spec."""
    confirmed = proposal.confirmed and {
        "change": proposal.confirmed.mean,
        "interval": _interval_json(proposal.confirmed),
    }
    return change_json(proposal.change) | {
        "confirmed": confirmed,
        "verdict": verdict_text(proposal),
        "spec": proposal.spec,
    }


def likeness_json(likeness: Likeness) -> dict[str, Any]:
    """How alike two models are, as matrices [states of the first, states of the second]."""
    return dict(_replace(asdict(likeness)))


def _interval_json(interval: Interval) -> list[float | None]:
    return [_number(interval.low), _number(interval.high)]


def _replace(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _replace(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [*map(_replace, value)]
    return _number(value) if isinstance(value, float) else value


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
