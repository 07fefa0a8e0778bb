"""Searches from a spec to the winner's spec: parameters first, then the order of layers, then the comparison.

Request → live stack → phases (trials in the log) → finalists → choice part → winner → final part → Report
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from stacker.compose import Stack, draw_blueprint, load
from stacker.errors import StackerError
from stacker.io.disk.storage import explain_errors
from stacker.live.live_stack import LiveStack
from stacker.live.tokenizer import load_tokenizer
from stacker.measure.losses import make_batches
from stacker.measure.questions.questions import hash_questions
from stacker.measure.score_cache import identify_stack
from stacker.measure.states.allocation import keep_memory
from stacker.measure.states.statistics import compare_states
from stacker.measure.states.walk import walk_batches
from stacker.measure.texts import hash_passages
from stacker.measure.workers.workers import HERE, Workers
from stacker.search.evaluation.known_states import KnownStates
from stacker.search.evaluation.live_evaluator import Course
from stacker.search.evaluation.windows import Part, split_texts
from stacker.search.limits import Limit
from stacker.search.log import Log, open_log
from stacker.search.results import Finalist
from stacker.search.running.runs import DEFAULT, Phase, Tell, run_phase
from stacker.search.running.table import Space, make_strategies
from stacker.search.spaces.arrangement_space import ArrangementSpace
from stacker.search.spaces.variables import VariableSpace
from stacker.searching.anchors import load_anchor
from stacker.searching.evaluators import make_evaluator
from stacker.searching.options import SearchOptions
from stacker.searching.preparation import Request
from stacker.searching.spaces import make_arrangement_space, make_variable_space
from stacker.searching.winners import Best, Outcome, choose_best, conclude, write_winner

SEARCHED = 0.85
"""The share of a limit on time that candidates take; the rest is for the choice and the final comparison."""
CHOSEN = 2
"""How many times as many passages the choice part has, at most, as a candidate reads."""
PROBED = 4
"""How many windows of each text the probe reads that finds seeds."""
Note = Callable[[str], None]
"""A function that shows a line of progress."""


@dataclass(frozen=True, slots=True)
class _Work:
    """What all stages of a search share; `spaces` has the space that each strategy moved in, by its name.

    `live` is the live stack with which all others share weights.
    """

    request: Request
    live: LiveStack
    parts: dict[str, Part]
    course: Course
    log: Log
    workers: Workers
    tell: Tell = field(repr=False)
    note: Note = field(repr=False)
    spaces: dict[str, Space] = field(default_factory=dict, repr=False)


def run_search(request: Request, tell: Tell, note: Note, workers: Workers = HERE) -> Outcome:
    """Search what was asked for, and compare the winner with what it has to beat.

    `tell` is called with all trials after each, `note` with lines about what is done.
    Candidates are measured by `workers`.
    """
    options = request.options
    keep_memory()
    live = load_anchor(request, note)
    start = draw_blueprint(request.stack)
    tokenizer = load_tokenizer(start.side_files, dict(start.plan.config))
    parts = split_texts(request.texts, tokenizer, options.window, CHOSEN * options.passages)
    with open_log(options.log, _describe(request, live)) as log:
        if log.recalled:
            note(f"{options.log}: going on after {log.recalled} candidates")
        course = Course(parts["search"], request.objectives, options.passages, options.seed, request.questions)
        work = _Work(request, live, parts, course, log, workers, tell, note)
        best = _run_stages(Best(request.stack, "start"), work)
        note("final comparison")
        return conclude(best, request, live, parts["final"], log, work.spaces, workers)


def _describe(request: Request, live: LiveStack) -> dict[str, Any]:
    """Everything that decides the log of a search, for its first line."""
    options = request.options
    limit, bounds = options.limit, options.bounds
    return {
        "start": identify_stack(draw_blueprint(request.stack)),
        "dtype": str(live.model.dtype),
        "device": options.device,
        "texts": {name: hash_passages(passages) for name, passages in request.texts.items()},
        "questions": hash_questions(request.questions),
        "objectives": [*options.objectives],
        "strategies": options.strategies and [*options.strategies],
        "arrange": options.arrange,
        "parameters": [*options.parameters],
        "bounds": [bounds.layers, bounds.parameters, [*bounds.licences]],
        "budget": [limit.candidates, limit.seconds],
        "seed": options.seed,
        "spread": options.spread,
        "passages": options.passages,
        "window": options.window,
    }


def _run_stages(best: Best, work: _Work) -> Best:
    """Search each kind of space from the winner of the one before."""
    kinds = work.request.kinds
    for number, kind in enumerate(kinds):
        if number:
            best = replace(best, stack=_write_stage(best.stack, work))
        space = _make_space(kind, best.stack, work.request)
        shared = work.live.rearranged(best.stack) if kind is ArrangementSpace else work.live
        span = (number / len(kinds), (number + 1) / len(kinds))
        finalists = [*_run_phases(space, shared, span, work)]
        work.note("choosing among the finalists")
        best = choose_best(best, space, finalists, shared, work.parts["choice"], work.log, work.workers)
    return best


def _make_space(kind: type[Space], stack: Stack, request: Request) -> Space:
    bounds = request.options.bounds
    if kind is VariableSpace:
        return make_variable_space(stack, bounds, request.read)
    return make_arrangement_space(stack, request.options.out.absolute(), bounds, request.read)


def _write_stage(stack: Stack, work: _Work) -> Stack:
    """The winner of a stage as a spec of its own beside the last one's, so that it can be a donor there."""
    out = work.request.options.out
    path = out.with_stem(f"{out.stem}-parameters")
    with explain_errors(path):
        path.write_bytes(write_winner(stack, path))
    return load(path, work.request.read)


def _run_phases(space: Space, shared: LiveStack, span: tuple[float, float], work: _Work) -> Iterator[Finalist]:
    """The finalists of all strategies for a space, which use the limit from one share of it to another.

    Candidates share their weights with `shared`, and are compared with the search's start.
    """
    known = None
    if isinstance(space, ArrangementSpace):
        space = replace(space, distances=_probe(shared, work.parts["search"]))
        known = KnownStates(shared)
    options = work.request.options
    planned = make_strategies(space, options.strategies, options.seed)
    evaluator = make_evaluator(space.decode, work.request.stack, shared, work.course, known, work.workers)
    shares = [span[0] + (span[1] - span[0]) * at / len(planned) for at in range(len(planned) + 1)]
    finalists: list[Finalist] = []
    for (name, make), (_, until) in zip(planned, pairwise(shares), strict=True):
        work.note(f"searching: {name}")
        work.spaces[name] = space
        phase = Phase(name, make(finalists), evaluator, _limit(options).share(until))
        finalists = [*run_phase(phase, work.log, work.tell), *finalists]
    yield from finalists


def _limit(options: SearchOptions) -> Limit:
    limit = options.limit.or_candidates(DEFAULT)
    return replace(limit, seconds=None if limit.seconds is None else limit.seconds * SEARCHED)


def _probe(start: LiveStack, part: Part) -> tuple[tuple[float, ...], ...]:
    """The distances between the states of the start's layers on a few windows; empty if layers only run together."""
    import torch

    windows = [window for each in part.windows.values() for window in each[:PROBED]]
    try:
        walks = [*walk_batches(start, make_batches(windows))]
    except StackerError:
        return ()
    states = [torch.stack([*map(walk.pick, walk.states)], dim=1) for walk in walks]
    return tuple(map(tuple, compare_states(states)[1].tolist()))
