"""Searches from a spec to the winner's spec: parameters first, then the order of layers, then the comparison.

spec → Stack → space → phases (trials in the log) → finalists → choice part → winner → final part → Report
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from stacker.compose import Stack, load, load_text
from stacker.errors import SpecError, StackerError, raise_problems
from stacker.io.disk.storage import explain_errors
from stacker.io.donors.reader import ReadDonor, read_donor, remember_donors
from stacker.io.files.paths import resolve_links
from stacker.io.files.spec_files import read_spec_file
from stacker.live.live_stack import LiveStack
from stacker.measure.losses import make_batches
from stacker.measure.questions.questions import hash_questions, read_questions
from stacker.measure.score_cache import identify_stack
from stacker.measure.states.allocation import keep_memory
from stacker.measure.states.statistics import compare_states
from stacker.measure.states.walk import walk_batches
from stacker.measure.texts import TextPassage, Windowing, check_windowing, hash_passages, read_passages
from stacker.measure.workers.workers import HERE, Workers
from stacker.search.evaluation.comparison import measure_part
from stacker.search.evaluation.judging import choose_winner, make_report, name_texts
from stacker.search.evaluation.live_evaluator import Course
from stacker.search.evaluation.objectives import choose_objectives
from stacker.search.evaluation.windows import CHARACTERS, Part, split_texts
from stacker.search.log import Log, open_log
from stacker.search.ranking import find_front
from stacker.search.requirements import import_package
from stacker.search.results import Finalist, Losses, Report, Trial
from stacker.search.running.runs import Phase, Tell, run_phase
from stacker.search.running.table import Space, check_strategies, make_strategies
from stacker.search.spaces.arrangement_space import ArrangementSpace
from stacker.search.spaces.variables import VariableSpace
from stacker.searching.contenders import list_baselines, make_contender
from stacker.searching.evaluators import make_evaluator
from stacker.searching.licences import check_licences
from stacker.searching.options import SearchOptions
from stacker.searching.spaces import check_bounds, make_arrangement_space, make_variable_space
from stacker.spec.language.stack_spec import Dialect
from stacker.spec.parameters.space import Kind
from stacker.spec.parameters.spreading import spread_parameters

SEARCHED = 0.85
"""The share of a limit on time that candidates take; the rest is for the choice and the final comparison."""
CHOSEN = 2
"""How many times as many passages the choice part has, at most, as a candidate reads."""
PROBED = 4
"""How many windows of each text the probe reads that finds seeds."""
Note = Callable[[str], None]
"""A function that shows a line of progress."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The winner, what the final part says about it, and the files to write: its spec, and those of a Pareto front."""

    stack: Stack
    report: Report
    files: tuple[tuple[Path, bytes], ...]
    objectives: tuple[str, ...]
    trials: tuple[Trial, ...] = field(repr=False)
    losses: tuple[Losses, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Best:
    """The best stack so far and how it was made."""

    stack: Stack
    how: str


@dataclass(frozen=True, slots=True)
class _Work:
    """What all stages of a search share."""

    options: SearchOptions
    parts: dict[str, Part]
    course: Course
    log: Log
    read: ReadDonor
    workers: Workers
    tell: Tell = field(repr=False)
    note: Note = field(repr=False)
    spaces: dict[str, Space] = field(default_factory=dict, repr=False)
    """The space that each strategy moved in, by the strategy's name."""


def search_spec(path: Path, options: SearchOptions, tell: Tell, note: Note, workers: Workers = HERE) -> Outcome:
    """Search the space of the spec at `path` and compare the winner with what it has to beat.

    `tell` is called with all trials after each, `note` with lines about what is done. Candidates are measured by
    `workers`. SpecError lists what is wrong
    with the request before anything is loaded.
    """
    read = remember_donors(read_donor)
    stack = _load_spec(path, options, read)
    stages = _plan_stages(stack, options, read)
    texts = {name: read_passages([file], options.window * CHARACTERS) for file, name in _name_files(options).items()}
    questions = read_questions(options.questions)
    objectives = choose_objectives(options.objectives, [*texts], questions=bool(questions))
    keep_memory()
    live = stack.live_stack(options.device, options.dtype)
    check_windowing(Windowing(options.window, options.window - 1), live.blueprint.plan.config)
    parts = split_texts(texts, live.load_tokenizer(), options.window, CHOSEN * options.passages)
    head = _describe(options, live, texts, hash_questions(questions))
    with open_log(options.log, head) as log:
        if log.recalled:
            note(f"{options.log}: going on after {log.recalled} candidates")
        course = Course(parts["search"], objectives, options.passages, options.seed, questions)
        work = _Work(options, parts, course, log, read, workers, tell, note)
        best = _run_stages(_Best(stack, "start"), live, stages, work)
        return _finish(stack, live, best, work)


def _name_files(options: SearchOptions) -> dict[Path, str]:
    names = name_texts([str(file) for file in options.texts])
    return {file: names[str(file)] for file in options.texts}


def _load_spec(path: Path, options: SearchOptions, read: ReadDonor) -> Stack:
    """The stack of the spec, with its parameters spread if that is asked for; its errors are raised."""
    stack = load(path, read)
    if options.spread:
        wide = [each for each in stack.spec.parameters if each.range and not each.step and each.kind is Kind.NUMBER]
        if not wide:
            raise SpecError.of(
                f"{path}: no parameter can be spread", "--spread is for numbers with a range and no step"
            )
        text = spread_parameters(read_spec_file(path).decode(), wide, options.spread).encode()
        stack = load_text(text, path, read=read)
    raise_problems(stack.problems)
    check_licences(stack, options.bounds.licences)
    return check_bounds(stack, options.bounds)


@dataclass(frozen=True, slots=True)
class _Stage:
    """A part of the search; its strategies may use the limit up to `until`, a share of it."""

    make: Callable[[Stack], Space]
    until: float


def _plan_stages(stack: Stack, options: SearchOptions, read: ReadDonor) -> tuple[_Stage, ...]:
    """Parameters, the order of layers, or both in turn; SpecError if there is nothing to search."""
    stages: list[_Stage] = []
    moving = any(each.moves for each in stack.spec.parameters) or not options.arrange
    kinds: list[type[Space]] = [*[VariableSpace] * moving, *[ArrangementSpace] * options.arrange]
    check_strategies(kinds, options.strategies or ())
    for package in ("cmaes", "moocore"):
        import_package(package)
    if moving:
        make_variable_space(stack, options.bounds, read)
        until = 0.5 if options.arrange else 1.0
        stages.append(_Stage(lambda best: make_variable_space(best, options.bounds, read), until))
    if options.arrange:
        out = options.out.absolute()
        stages.append(_Stage(lambda best: make_arrangement_space(best, out, options.bounds, read), 1.0))
    return tuple(stages)


def _describe(
    options: SearchOptions, live: LiveStack, texts: dict[str, tuple[TextPassage, ...]], questions: str
) -> dict[str, Any]:
    """Everything that decides the log of a search, for its first line."""
    limit, bounds = options.limit, options.bounds
    return {
        "start": identify_stack(live.blueprint),
        "dtype": str(live.model.dtype),
        "device": options.device,
        "texts": {name: hash_passages(passages) for name, passages in texts.items()},
        "questions": questions,
        "objectives": [*options.objectives],
        "strategies": options.strategies and [*options.strategies],
        "arrange": options.arrange,
        "bounds": [bounds.layers, bounds.parameters, [*bounds.licences]],
        "budget": [limit.candidates, limit.seconds],
        "seed": options.seed,
        "spread": options.spread,
        "passages": options.passages,
        "window": options.window,
    }


def _run_stages(best: _Best, live: LiveStack, stages: Sequence[_Stage], work: _Work) -> _Best:
    begun = 0.0
    for stage in stages:
        space = stage.make(best.stack)
        first = live if stage is stages[0] else live.rearranged(best.stack)
        finalists = [*_run_phases(space, live, first, (begun, stage.until), work)]
        best = _choose(best, space, finalists, first, work)
        begun = stage.until
        if stage is not stages[-1]:
            best = replace(best, stack=_write_stage(best.stack, work))
    return best


def _write_stage(stack: Stack, work: _Work) -> Stack:
    """The winner of a stage as a spec of its own beside the last one's, so that it can be a donor there."""
    path = work.options.out.with_stem(f"{work.options.out.stem}-parameters")
    with explain_errors(path):
        path.write_bytes(write_winner(stack, path))
    return load(path, work.read)


def _run_phases(
    space: Space, start: LiveStack, shared: LiveStack, span: tuple[float, float], work: _Work
) -> Iterator[Finalist]:
    """The finalists of all strategies for a space, which use the limit from one share of it to another.

    Candidates share their weights with `shared`, where the space begins, and are compared with the search's start.
    """
    if isinstance(space, ArrangementSpace):
        space = replace(space, distances=_probe(shared, work.parts["search"]))
    planned = make_strategies(space, work.options.strategies, work.options.seed)
    evaluator = make_evaluator(space.decode, start, shared, work.course, work.workers)
    shares = [span[0] + (span[1] - span[0]) * at / len(planned) for at in range(len(planned) + 1)]
    finalists: list[Finalist] = []
    for (name, make), (_, until) in zip(planned, pairwise(shares), strict=True):
        work.note(f"searching: {name}")
        work.spaces[name] = space
        phase = Phase(name, make(finalists), evaluator, _limit(work.options).share(until))
        finalists = [*run_phase(phase, work.log, work.tell), *finalists]
    yield from finalists


def _limit(options: SearchOptions) -> Any:
    limit = options.limit.or_candidates(100)
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


def _choose(best: _Best, space: Space, finalists: Sequence[Finalist], start: LiveStack, work: _Work) -> _Best:
    """The best of the start and the finalists on the choice part."""
    stacks = {best.how: best.stack}
    for number, each in enumerate(finalists):
        try:
            stacks[f"{number + 1}. {each.phase}: {each.how}"] = space.decode(each.point)
        except StackerError:
            continue
    work.note(f"choosing among {len(stacks)} finalists")
    contenders = [make_contender(name, stack, start) for name, stack in stacks.items()]
    found = [*measure_part(contenders, "choice", work.parts["choice"], work.log, start, work.workers)]
    name = choose_winner(found).name
    return _Best(stacks[name], name)


def _finish(stack: Stack, live: LiveStack, best: _Best, work: _Work) -> Outcome:
    """Measure the winner and what it has to beat on the final part."""
    winner = make_contender(best.how, best.stack, live)
    others = [make_contender(name, each, live) for name, each in list_baselines(stack, work.read)]
    if best.stack is not stack:
        others.append(make_contender("start", stack, live))
    work.note(f"final comparison with {len(others)} stacks")
    found = [*measure_part([winner, *others], "final", work.parts["final"], work.log, live, work.workers)]
    if not found or found[0].name != best.how:
        raise SpecError.of(f"the winner ({best.how}) cannot be measured on the final part", "try --dtype float32")
    report = make_report(best.how, found[0], found[1:], work.log.trials)
    files = ((work.options.out, write_winner(best.stack, work.options.out)), *_write_front(work))
    trials, losses = tuple(work.log.trials), tuple(work.log.losses)
    return Outcome(best.stack, report, files, work.options.objectives, trials, losses)


def _write_front(work: _Work) -> Iterator[tuple[Path, bytes]]:
    """The specs of the trials that no other dominates, if there are several objectives; each named by its trial."""
    if len(work.options.objectives) < 2:
        return
    for at in find_front([trial.values for trial in work.log.trials]):
        trial = work.log.trials[at]
        out = work.options.out.with_stem(f"{work.options.out.stem}-{trial.number}")
        yield out, write_winner(work.spaces[trial.phase].decode(trial.point), out)


def write_winner(stack: Stack, out: Path) -> bytes:
    """The text of the winner's spec for the file `out`; its own text if that file is in the spec's folder."""
    from stacker.searching.spaces import move_donor
    from stacker.spec.native.writer import to_native
    from stacker.spec.parser import write_name

    if resolve_links(stack.folder) == resolve_links(out.absolute().parent) or stack.spec.dialect is not Dialect.NATIVE:
        return write_name(stack.write_spec(), stack.spec)
    donors = tuple(move_donor(each, stack.folder, out.absolute().parent) for each in stack.spec.donors)
    return to_native(replace(stack.spec, donors=donors)).encode()
