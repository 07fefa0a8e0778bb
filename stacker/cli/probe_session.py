"""Loads what `stacker probe` was asked about, measures it while showing how far it is, and proposes specs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import islice, zip_longest
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from rich.live import Live

from stacker.arch.hops import find_hop_refusals
from stacker.cli.run import load_source
from stacker.cli.terminal.printing import make_console, print_warnings
from stacker.compose import Stack, load_text
from stacker.core.stack.hops import list_divided_roles
from stacker.errors import SpecError, select_errors
from stacker.io.donors.reader import ReadDonor, read_donor, remember_donors
from stacker.live.live_stack import LiveStack
from stacker.measure.probes.allocation import keep_memory
from stacker.measure.probes.chance import check_passages
from stacker.measure.probes.edits import Edit, Way, list_edits, order_edits
from stacker.measure.probes.ledger import Ledger, open_ledger
from stacker.measure.probes.likeness import check_same_tokens, compare_streams
from stacker.measure.probes.mapping import Copies
from stacker.measure.probes.passages import Choice, choose_windows, read_probe_passages
from stacker.measure.probes.probing import (
    Losses,
    Prepared,
    Tell,
    confirm_changes,
    draft_map,
    judge_map,
    measure_losses,
    prepare,
)
from stacker.measure.probes.proposals import Origin, rank_changes, write_damped, write_edit
from stacker.measure.probes.results import Change, DepthMap, Likeness, Proposal, Survey
from stacker.measure.probes.statistics import survey_layers
from stacker.measure.score_cache import identify_stack
from stacker.measure.texts import Windowing, check_windowing
from stacker.view.probes.terminal import HeatMap

if TYPE_CHECKING:
    from stacker.cli.probe import Request

INTERVAL = 2.0
"""Seconds between two drawings of a map that grows."""


@dataclass(frozen=True, slots=True)
class Session:
    """A source in memory that has read the text; `origin` is how specs name it."""

    request: Request
    stack: Stack
    live: LiveStack
    choice: Choice
    prepared: Prepared
    origin: Origin

    def survey(self) -> Survey:
        """What the layers of the source do."""
        return survey_layers(self.stack.spec.name, self.prepared.walks)

    def open_ledger(self) -> Ledger:
        """The file of what has been measured of this source on these passages."""
        tokens = json.dumps([window.tokens for window in self.choice.measured]).encode()
        parts = {
            "stack": identify_stack(self.live.blueprint),
            "windows": hashlib.sha256(tokens).hexdigest(),
            "dtype": str(self.live.model.dtype),
            "device": self.request.device,
            "packages": {name: version(name) for name in ("torch", "transformers")},
        }
        return open_ledger(parts, len(self.choice.measured))


def open_session(request: Request) -> Session:
    """Load the source of a request and take the text through its layers."""
    keep_memory()
    stack, live = _load(request, request.sources[0])
    choice = _choose(request, live)
    if request.runs:
        check_passages(len(choice.measured))
    prepared = prepare(live, choice.measured)
    return Session(request, stack, live, choice, prepared, _describe_origin(request, stack, prepared.depth))


def _load(request: Request, source: str) -> tuple[Stack, LiveStack]:
    stack = load_source(source)
    print_warnings(stack.problems)
    return stack, stack.live(request.device, request.dtype)


def _choose(request: Request, live: LiveStack) -> Choice:
    check_windowing(Windowing(request.window, request.window - 1), live.model.config)
    passages = read_probe_passages(request.texts, request.window)
    return choose_windows(passages, live.load_tokenizer(), request.window, request.passages)


def _describe_origin(request: Request, stack: Stack, depth: int) -> Origin:
    source = request.sources[0]
    path = Path(source)
    key = "source" if path.is_dir() or path.suffix not in (".yml", ".yaml") else "stack"
    if path.exists() and not path.is_absolute():
        source = os.path.relpath(path, request.specs or Path())
        source = source if source.startswith(".") or key == "stack" else f"./{source}"
    if request.runs and source == "-":
        raise SpecError.of("a spec from standard input cannot be a donor of the proposed specs", "write it to a file")
    return Origin(stack.spec.name, {key: source}, depth, list_divided_roles(stack.donors.values()))


def compare_sources(request: Request, *, quiet: bool) -> Likeness:
    """Compare the two sources of a request, layer by layer."""
    del quiet
    keep_memory()
    loaded = [_load(request, source) for source in request.sources]
    names = (request.sources[0], request.sources[1])
    choices = [_choose(request, live) for _, live in loaded]
    check_same_tokens(names, choices[0].measured, choices[1].measured)
    first, second = (prepare(live, choice.measured).walks for (_, live), choice in zip(loaded, choices, strict=True))
    return compare_streams(names, first, second)


def map_source(session: Session, survey: Survey, *, quiet: bool) -> tuple[DepthMap, tuple[Proposal, ...]]:
    """Measure all edits that were asked for, and propose the best; an interrupted map has some of the edits."""
    request = session.request
    _check_hops(session)
    copies = _load_damped(session)
    ways = [(Way(way), factor) for way, factor in request.ways]
    edits = order_edits(list_edits(survey.depth, request.runs, ways), survey.distances)
    name = session.stack.spec.name
    with _show_growth(session, len(edits), quiet=quiet) as tell:
        losses = measure_losses(session.prepared, edits, session.open_ledger(), tell, copies)
    found = judge_map(name, session.prepared, losses, len(edits))
    if len(found.changes) < found.total:
        return found, ()
    return found, _propose(session, found, copies)


def _check_hops(session: Session) -> None:
    if not any(way == Way.HOP for way, _ in session.request.ways):
        return
    for donor in session.stack.donors.values():
        for reason in find_hop_refusals(donor.architecture, donor.config, 0):
            raise SpecError.of(f"--hop: {donor.name} cannot have hops: {reason}")


def _load_damped(session: Session) -> Copies:
    factors = [factor for way, factor in session.request.ways if way == Way.DAMP]
    if factors and not session.origin.writers:
        message = "--damp: it is not known which tensors of this family write to the residual stream"
        raise SpecError.of(message, "use --hop, or --ways repeat")
    specs = {factor: write_damped(session.origin, factor) for factor in factors}
    return {factor: session.live.rearranged(_load_spec(session, text)) for factor, text in specs.items()}


def _load_spec(session: Session, text: str, read: ReadDonor = read_donor) -> Stack:
    return load_text(text.encode(), (session.request.specs or Path()) / "edit.yml", read=read)


@contextmanager
def _show_growth(session: Session, total: int, *, quiet: bool) -> Iterator[Tell]:
    """Yield a function that shows progress on standard error: as a map that grows, or a line for each edit."""
    console = make_console(stderr=True)
    name, prepared = session.stack.spec.name, session.prepared
    if quiet:
        yield lambda _losses, _edit: None
    elif not console.is_terminal:
        yield lambda losses, edit: console.print(_edit_text(draft_map(name, prepared, losses, total), edit))
    else:
        with Live(console=console, transient=True, auto_refresh=False) as shown:
            last = 0.0

            def draw(losses: Losses, _edit: Edit) -> None:
                nonlocal last
                if monotonic() - last > INTERVAL:
                    last = monotonic()
                    shown.update(HeatMap(draft_map(name, prepared, losses, total)), refresh=True)

            yield draw


def _edit_text(found: DepthMap, edit: Edit) -> str:
    mean = next(change.alone.mean for change in found.changes if change.edit == edit)
    return f"{len(found.changes)}/{found.total} {edit}: {mean:+.4f}"


def _propose(session: Session, found: DepthMap, copies: Copies) -> tuple[Proposal, ...]:
    """The best edits whose specs can be built, confirmed on other passages if the text has enough."""
    chosen = [*islice(_find_buildable(session, rank_changes(found.changes)), session.request.best)]
    if not session.choice.confirmed or not chosen:
        return tuple(chosen)
    prepared = prepare(session.live, session.choice.confirmed)
    intervals = confirm_changes(prepared, [proposal.change.edit for proposal in chosen], copies)
    pairs = zip_longest(chosen, intervals)
    return tuple(replace(proposal, confirmed=interval) for proposal, interval in pairs)


def _find_buildable(session: Session, changes: Iterable[Change]) -> Iterator[Proposal]:
    """Yield a proposal for each change whose spec passes all checks of a build."""
    read = remember_donors(read_donor)
    for change in changes:
        text = write_edit(session.origin, change.edit)
        if not select_errors(_load_spec(session, text, read).problems):
            yield Proposal(change, text)
