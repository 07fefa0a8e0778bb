"""Chooses the winner among finalists, compares it with what it has to beat, and writes its spec."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from stacker.compose import Stack
from stacker.errors import SpecError, StackerError
from stacker.io.files.paths import resolve_links
from stacker.live.live_stack import LiveStack
from stacker.measure.workers.workers import HERE, Workers
from stacker.search.evaluation.comparison import measure_part
from stacker.search.evaluation.judging import choose_winner, make_report
from stacker.search.evaluation.windows import Part
from stacker.search.log import Log
from stacker.search.ranking import find_front
from stacker.search.results import Finalist, Losses, Report, Trial
from stacker.search.running.table import Space
from stacker.searching.contenders import list_baselines, make_contender
from stacker.searching.options import SearchOptions
from stacker.searching.preparation import Request
from stacker.searching.spaces import move_donor
from stacker.spec.language.stack_spec import Dialect
from stacker.spec.native.writer import to_native
from stacker.spec.parser import write_name


@dataclass(frozen=True, slots=True)
class Best:
    """The best stack so far and how it was made."""

    stack: Stack
    how: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """The winner, what the final part says about it, and the files to write: its spec, and those of a Pareto front."""

    stack: Stack
    report: Report
    files: tuple[tuple[Path, bytes], ...]
    objectives: tuple[str, ...]
    trials: tuple[Trial, ...] = field(repr=False)
    losses: tuple[Losses, ...] = field(repr=False)


def choose_best(
    best: Best,
    space: Space,
    finalists: Sequence[Finalist],
    shared: LiveStack,
    part: Part,
    log: Log,
    workers: Workers = HERE,
) -> Best:
    """The best of the start and the finalists on the choice part."""
    stacks = {best.how: best.stack}
    for number, each in enumerate(finalists):
        try:
            stacks[f"{number + 1}. {each.phase}: {each.how}"] = space.decode(each.point)
        except StackerError:
            continue
    contenders = [make_contender(name, stack, shared) for name, stack in stacks.items()]
    name = choose_winner([*measure_part(contenders, "choice", part, log, shared, workers)]).name
    return Best(stacks[name], name)


def conclude(
    best: Best,
    request: Request,
    live: LiveStack,
    part: Part,
    log: Log,
    spaces: Mapping[str, Space],
    workers: Workers = HERE,
) -> Outcome:
    """Measure the winner and what it has to beat on the final part; `spaces` are those of the trials, by phase."""
    winner = make_contender(best.how, best.stack, live)
    others = [make_contender(name, each, live) for name, each in list_baselines(request.stack, request.read)]
    if best.stack is not request.stack:
        others.append(make_contender("start", request.stack, live))
    found = [*measure_part([winner, *others], "final", part, log, live, workers)]
    if not found or found[0].name != best.how:
        raise SpecError.of(f"the winner ({best.how}) cannot be measured on the final part", "try --dtype float32")
    report, options = make_report(best.how, found[0], found[1:], log.trials), request.options
    files = ((options.out, write_winner(best.stack, options.out)), *_write_front(options, log.trials, spaces))
    return Outcome(best.stack, report, files, options.objectives, tuple(log.trials), tuple(log.losses))


def _write_front(
    options: SearchOptions, trials: Sequence[Trial], spaces: Mapping[str, Space]
) -> Iterator[tuple[Path, bytes]]:
    """The specs of the trials that no other dominates, if there are several objectives; each named by its trial."""
    if len(options.objectives) < 2:
        return
    for at in find_front([trial.values for trial in trials]):
        out = options.out.with_stem(f"{options.out.stem}-{trials[at].number}")
        yield out, write_winner(spaces[trials[at].phase].decode(trials[at].point), out)


def write_winner(stack: Stack, out: Path) -> bytes:
    """The text of the winner's spec for the file `out`; its own text if that file is in the spec's folder."""
    if resolve_links(stack.folder) == resolve_links(out.absolute().parent) or stack.spec.dialect is not Dialect.NATIVE:
        return write_name(stack.write_spec(), stack.spec)
    donors = tuple(move_donor(each, stack.folder, out.absolute().parent) for each in stack.spec.donors)
    return to_native(replace(stack.spec, donors=donors)).encode()
