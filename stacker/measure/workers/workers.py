"""Defines what workers measure: a study of items. Whoever needs figures asks here first, and measures what is left.

So a command takes the same steps with and without a cluster, and what workers have found is only looked up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

from stacker.errors import StackerError
from stacker.live.live_stack import Settings

Thing = TypeVar("Thing")
Item = TypeVar("Item")
Answer = TypeVar("Answer")
_Item = TypeVar("_Item", contravariant=True)
_Answer = TypeVar("_Answer", covariant=True)


class Study(Protocol[_Item, _Answer]):
    """What measuring many items needs, such as a stack and texts; it is sent to each worker, which opens it once."""

    @property
    def settings(self) -> Settings:
        """How live stacks are made."""

    def open(self) -> Callable[[_Item], _Answer]:
        """Load what all items need; returns the function that measures one."""


class Workers(Protocol):
    """Measures items of a study elsewhere, several at once."""

    def measure(
        self, study: Study[Item, Answer], things: Iterable[Thing], choose: Callable[[Thing], Item | None]
    ) -> Iterator[tuple[Thing, Answer | StackerError | None]]:
        """Yield all things in their order, each with the answer about the item that `choose` finds for it.

        The answer is an error if it cannot be measured. It is None if there is no item, or if this process has to
        measure it. Some things are taken before the answers about those before them have been yielded.
        """


class Here:
    """Leaves all measuring to this process."""

    def measure(
        self, study: Study[Item, Answer], things: Iterable[Thing], choose: Callable[[Thing], Item | None]
    ) -> Iterator[tuple[Thing, Answer | StackerError | None]]:
        """Yield the things without answers; see Workers."""
        del study, choose
        for thing in things:
            yield thing, None


HERE = Here()
