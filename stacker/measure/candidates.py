"""Defines Candidate, a stack that is to be measured; what measuring needs of it is loaded when it is first needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch

from stacker.errors import SpecError
from stacker.live.filling.empty_models import choose_dtype
from stacker.live.forecast.blueprint import Blueprint
from stacker.live.head import Head, Rows, find_head
from stacker.live.live_stack import LiveStack, Settings
from stacker.live.tokenizer import load_tokenizer
from stacker.measure.losses import Batch, map_batches
from stacker.measure.score_cache import identify_stack
from stacker.measure.texts import Window
from stacker.progress import Watch, ignore_watch


@dataclass
class Candidate:
    """A stack by the name that the user gave it; `open` loads it. What has been loaded stays until it is `released`."""

    name: str
    blueprint: Blueprint
    settings: Settings
    open: Callable[[], LiveStack] = field(repr=False)

    @cached_property
    def tokenizer(self) -> Any:
        """The stack's tokenizer; DonorError if there is none."""
        return load_tokenizer(self.blueprint.side_files, dict(self.blueprint.plan.config))

    @cached_property
    def live(self) -> LiveStack:
        """The stack in memory."""
        return self.open()

    @cached_property
    def head(self) -> Head:
        """The head of the stack in memory."""
        return find_head(self.live)

    @property
    def layers(self) -> int:
        """How many layers the stack has."""
        return count_layers(self.blueprint)

    @property
    def identity(self) -> dict[str, Any]:
        """Everything about the stack and how it runs that figures may depend on."""
        dtype = str(choose_dtype(self.settings.dtype, self.blueprint.plan))
        return {**identify_stack(self.blueprint), "dtype": dtype, "device": self.settings.device}

    def check_finite(self, values: torch.Tensor) -> torch.Tensor:
        """Return what was computed of the stack; SpecError if a value is infinite or not a number."""
        if not values.isfinite().all():
            message = f"{self.name} predicts no finite probabilities in {self.identity['dtype']}"
            raise SpecError.of(message, "try --dtype float32; if that does not help, its layers do not fit each other")
        return values

    def reads_as(self, other: Candidate) -> bool:
        """Whether both have the same tokenizer's files."""
        return self.blueprint.side_files == other.blueprint.side_files

    def share_tokenizer(self, other: Candidate) -> None:
        """Use the tokenizer of another candidate if both have the same files."""
        if self.reads_as(other):
            self.__dict__["tokenizer"] = other.tokenizer

    def release(self) -> None:
        """Let the stack and its tokenizer go; they are loaded again if they are needed again."""
        if "live" in self.__dict__:
            self.live.release()
        for name in ("tokenizer", "live", "head"):
            self.__dict__.pop(name, None)


def count_layers(blueprint: Blueprint) -> int:
    """How many layers a stack has."""
    return len({place.layer for place in blueprint.placements.values()} - {None})


@dataclass(frozen=True, slots=True)
class Opening:
    """Loads a Stack, with the weights of the stack that was loaded first where they are the same.

    `loaded` holds the stack that was loaded first, once there is one.
    """

    stack: Any
    settings: Settings
    loaded: list[LiveStack] = field(repr=False)

    def load(self) -> LiveStack:
        """The stack in memory."""
        if self.loaded:
            return self.loaded[0].rearranged(self.stack)
        live: LiveStack = self.stack.live_stack(self.settings.device, self.settings.dtype, self.settings.max_memory)
        self.loaded.append(live)
        return live


@dataclass
class Reference:
    """The first candidate on some windows, with which others are compared token by token."""

    candidate: Candidate
    windows: Sequence[Window] = field(repr=False)
    batches: Sequence[Batch] = field(repr=False)
    rows: list[Rows] = field(default_factory=list, repr=False)

    def read_rows(self, watch: Watch = ignore_watch) -> list[Rows]:
        """The states that enter the head at scored tokens, batch by batch; they are computed once.

        They are kept instead of the logits, which would take far more memory.
        """

        def measure(_head: Head, rows: Rows, _targets: torch.Tensor) -> torch.Tensor:
            return rows[:, :0]

        if not self.rows:
            self.rows += [rows for _, rows, _ in map_batches(self.candidate.head, self.batches, measure, watch)]
        return self.rows
