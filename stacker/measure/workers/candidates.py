"""Sends candidates to workers, which return what they add to the score cache; this process then finds it there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NoReturn, TypeVar

from stacker.errors import SpecError, StackerError
from stacker.live.forecast.blueprint import Blueprint
from stacker.live.live_stack import LiveStack, Settings, make_live
from stacker.measure.candidates import Candidate
from stacker.measure.score_cache import Entries, ScoreCache
from stacker.measure.workers.workers import Item, Study, Workers


@dataclass(frozen=True, slots=True)
class Sketch:
    """What a worker makes a Candidate from."""

    name: str
    blueprint: Blueprint
    settings: Settings

    def open(self, loaded: list[LiveStack]) -> Candidate:
        """The candidate, which shares its weights with the first of `loaded`, or is put there when it is loaded."""
        return Candidate(self.name, self.blueprint, self.settings, partial(self._load, loaded))

    def _load(self, loaded: list[LiveStack]) -> LiveStack:
        if not loaded:
            loaded.append(load_blueprint(self.blueprint, self.settings))
            return loaded[0]
        return loaded[0].rearranged(self.blueprint)


def load_blueprint(blueprint: Blueprint, settings: Settings) -> LiveStack:
    """Load a stack that others can be rearranged from by their blueprints."""
    return make_live(blueprint, settings, _draw)


def _draw(blueprint: Blueprint) -> Blueprint:
    return blueprint


def draw_sketch(candidate: Candidate) -> Sketch:
    """What is sent to a worker of a candidate."""
    return Sketch(candidate.name, candidate.blueprint, candidate.settings)


Opened = TypeVar("Opened", Candidate, Candidate | StackerError)
"""A candidate, or one that may be the reason why there is none."""


class _NotLoadedError(Exception):
    """A stack is needed in memory, and may not be loaded."""


def is_known(candidate: Candidate, measure: Callable[[], object]) -> bool:
    """Whether `measure` finds everything about a candidate without loading it; errors of `measure` are raised."""
    own = candidate.open
    candidate.open = _refuse
    try:
        measure()
    except _NotLoadedError:
        return False
    finally:
        candidate.open = own
    return True


def _refuse() -> NoReturn:
    raise _NotLoadedError


def measure_ahead(
    candidates: Iterable[Opened],
    workers: Workers,
    study: Study[Item, Entries],
    cache: ScoreCache,
    choose: Callable[[Candidate], Item | None],
) -> Iterator[Opened]:
    """Yield the candidates in their order, each when the scores that workers have found about it are in the cache.

    What a worker failed with is raised when the candidate is loaded. Scores leave the memory of the cache when the next
    candidate is asked for. Errors in place of candidates are passed on.
    """

    def choose_item(candidate: Opened) -> Item | None:
        return choose(candidate) if isinstance(candidate, Candidate) else None

    for candidate, answer in workers.measure(study, candidates, choose_item):
        if isinstance(candidate, Candidate) and answer is not None:
            candidate.open = partial(_raise, answer) if isinstance(answer, StackerError) else _explain
        if answer is not None and not isinstance(answer, StackerError):
            cache.add(answer)
        yield candidate
        cache.forget()


def _raise(error: StackerError) -> NoReturn:
    raise error


def _explain() -> NoReturn:
    hint = "install the same versions of stacker, torch, transformers and tokenizers on all machines"
    raise SpecError.of("what the workers have measured is not what is needed", hint)
