"""Makes what measures the points of a search: in this process, or on the workers of a cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stacker.compose import Stack, draw_blueprint
from stacker.live.live_stack import LiveStack
from stacker.measure.workers.workers import HERE, Workers
from stacker.search.evaluation.cluster_evaluator import ClusterEvaluator
from stacker.search.evaluation.known_states import KnownStates
from stacker.search.evaluation.live_evaluator import Course, LiveEvaluator
from stacker.search.results import Point


def make_evaluator(
    decode: Callable[[Point], Any],
    start: Stack,
    shared: LiveStack,
    course: Course,
    known: KnownStates | None,
    workers: Workers,
) -> LiveEvaluator:
    """What measures points: `decode` makes a Stack, which shares its weights with `shared`."""
    if workers is HERE:
        return LiveEvaluator(decode, start, shared, course, known)
    return ClusterEvaluator(decode, start, shared, course, workers=workers, draw=draw_blueprint)
