"""Probes one live stack from beginning to end: its layers, the map of edits, and specs that are ready to build."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from itertools import islice, zip_longest
from typing import Any

from stacker.errors import select_errors
from stacker.live.live_stack import LiveStack
from stacker.measure.mapping.chance import check_passages
from stacker.measure.mapping.edit_losses import Copies
from stacker.measure.mapping.ledger import Ledger, open_ledger
from stacker.measure.mapping.maps import (
    Losses,
    Prepared,
    confirm_changes,
    draft_map,
    judge_map,
    measure_losses,
    prepare,
)
from stacker.measure.mapping.refining import choose_edits, mark_drafts, refine_map
from stacker.measure.probes.edits import Edit, Way, list_edits, order_edits
from stacker.measure.probes.passages import Choice, choose_windows, divide_windows, read_probe_passages
from stacker.measure.probes.proposals import Origin, rank_changes, write_damped, write_edit
from stacker.measure.probes.results import Change, DepthMap, Proposal, Survey
from stacker.measure.probes.settings import ProbeSettings
from stacker.measure.score_cache import identify_stack
from stacker.measure.states.allocation import keep_memory
from stacker.measure.states.statistics import survey_layers
from stacker.measure.texts import Windowing, check_windowing
from stacker.measure.workers.workers import HERE, Workers

ReadSpec = Callable[[str], Any]
"""A function that makes the stack of a spec's text, with its problems."""
Show = Callable[[DepthMap, Edit], None]
"""A function that shows a map without intervals, and which edit has just been measured."""


@dataclass(frozen=True, slots=True)
class Session:
    """A live stack that has read the text; `origin` is how the specs of edits name it.

    All edits are measured on the passages of `draft`, and the best on those of `rest`, if there is one.
    """

    settings: ProbeSettings
    live: LiveStack
    choice: Choice
    draft: Prepared
    rest: Prepared | None
    origin: Origin
    read_spec: ReadSpec = field(repr=False)

    def survey(self) -> Survey:
        """What the layers of the stack do, on all passages."""
        return survey_layers(self.origin.name, (*self.draft.walks, *(self.rest.walks if self.rest else ())))


def choose_passages(settings: ProbeSettings, live: LiveStack) -> Choice:
    """The windows of the texts that a live stack reads; SpecError if they do not fit it, or the texts are too short."""
    check_windowing(Windowing(settings.window, settings.window - 1), live.blueprint.plan.config)
    passages = read_probe_passages(settings.texts, settings.window)
    return choose_windows(passages, live.load_tokenizer(), settings.window, settings.passages)


def open_session(
    settings: ProbeSettings, live: LiveStack, origin: Origin, read_spec: ReadSpec, workers: Workers = HERE
) -> Session:
    """Take the text through the layers of a live stack; its edits are measured by `workers`."""
    keep_memory()
    choice = choose_passages(settings, live)
    if settings.runs:
        check_passages(len(choice.measured))
    edits = len(list_edits(len(live.layers), settings.runs, settings.ways))
    races = settings.count_refined(edits) < edits
    first, more = divide_windows(choice.measured) if races else (choice.measured, ())
    rest = prepare(live, more, workers) if more else None
    return Session(settings, live, choice, prepare(live, first, workers), rest, origin, read_spec)


def measure_map(session: Session, survey: Survey, show: Show) -> DepthMap:
    """Measure all edits that were asked for; if it is interrupted from the keyboard, the map has some of them.

    `show` is called with the map so far after each edit that is measured.
    """
    settings, name, copies = session.settings, session.origin.name, load_copies(session)
    edits = order_edits(list_edits(survey.depth, settings.runs, settings.ways), survey.distances)
    chosen = settings.count_refined(len(edits)) if session.rest else 0

    def tell(losses: Losses, edit: Edit) -> None:
        show(mark(draft_map(name, session.draft, losses, len(edits))), edit)

    def mark(found: DepthMap) -> DepthMap:
        return mark_drafts(found, chosen) if session.rest else found

    losses = measure_losses(session.draft, edits, find_ledger(session, session.draft), tell, copies)
    draft = mark(judge_map(name, session.draft, losses, len(edits)))
    if session.rest is None or len(losses.edited) < len(edits):
        return draft
    return _refine(session, session.rest, draft, choose_edits(losses, chosen), show, copies)


def _refine(
    session: Session, rest: Prepared, draft: DepthMap, edits: Sequence[Edit], show: Show, copies: Copies
) -> DepthMap:
    """Measure the edits that a draft has chosen on the rest of the passages."""

    def tell(losses: Losses, edit: Edit) -> None:
        show(refine_map(draft, draft_map(draft.name, rest, losses, len(edits))), edit)

    losses = measure_losses(rest, edits, find_ledger(session, rest), tell, copies)
    return refine_map(draft, judge_map(draft.name, rest, losses, len(edits)))


def find_ledger(session: Session, prepared: Prepared) -> Ledger:
    """The file with the measurements of this stack on these passages."""
    windows = json.dumps([window.tokens for window in prepared.windows]).encode()
    parts = {
        "stack": identify_stack(session.live.blueprint),
        "windows": hashlib.sha256(windows).hexdigest(),
        "dtype": str(session.live.model.dtype),
        "device": session.live.settings.device,
        "packages": {name: version(name) for name in ("torch", "transformers")},
    }
    return open_ledger(parts, len(prepared.windows))


def load_copies(session: Session) -> Copies:
    """The live stacks with damped copies, which share all other parameters with the session's."""
    specs = {factor: write_damped(session.origin, factor) for factor in session.settings.list_factors(Way.DAMP)}
    return {factor: session.live.rearranged(session.read_spec(text)) for factor, text in specs.items()}


def propose_edits(session: Session, found: DepthMap) -> tuple[Proposal, ...]:
    """The best edits whose specs can be built, measured once more on other passages if the text has enough."""
    chosen = [*islice(_find_buildable(session, rank_changes(found.changes)), session.settings.best)]
    if not session.choice.confirmed or not chosen:
        return tuple(chosen)
    prepared = prepare(session.live, session.choice.confirmed, session.draft.workers)
    intervals = confirm_changes(prepared, [proposal.change.edit for proposal in chosen], load_copies(session))
    pairs = zip_longest(chosen, intervals)
    return tuple(replace(proposal, confirmed=interval) for proposal, interval in pairs)


def _find_buildable(session: Session, changes: Iterable[Change]) -> Iterator[Proposal]:
    """Yield a proposal for each change whose spec passes all checks of a build."""
    for change in changes:
        text = write_edit(session.origin, change.edit)
        if not select_errors(session.read_spec(text).problems):
            yield Proposal(change, text)
