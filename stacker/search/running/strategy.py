"""Defines Strategy: what chooses the points of each generation and learns from what was found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from stacker.search.results import Finalist, Proposal, Trial


class Strategy(Protocol):
    """Chooses what is tried. It may only depend on its seed and on the trials that it was told.

    Then a search that reads its first trials from a log ends as one that was never interrupted.
    """

    def ask(self) -> Sequence[Proposal]:
        """The points of the next generation, which are measured on the same terms; empty if nothing is left to try."""

    def tell(self, trials: Sequence[Trial]) -> None:
        """Learn from the trials of the points of the last `ask`, in the same order."""

    def list_finalists(self) -> Sequence[Finalist]:
        """The points that are worth another measurement, the most promising first."""
