"""Loads the live stack with which all stacks of a search share weights, in a type that the processor is fast in."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from stacker.compose import Stack
from stacker.core.values.expression import Copy
from stacker.errors import StackerError
from stacker.io.machine import read_processor_flags
from stacker.live.forecast.fast_types import find_slow_type
from stacker.live.live_stack import LiveStack
from stacker.run.compute.device import HOST
from stacker.searching.contenders import list_baselines
from stacker.searching.preparation import Request

INSTEAD = "float32"


def load_anchor(request: Request, note: Callable[[str], None]) -> LiveStack:
    """A live stack of weights that lie in a donor's files: the start, or if the start is computed, one of its donors.

    So a computed start takes memory only while it is measured. `note` is told of a type that is not the weights' own.
    """
    options, plan = request.options, request.stack.plan()
    dtype = options.dtype or choose_fast_type(request.stack, options.device)
    if dtype != options.dtype:
        note(f"computing in {dtype}, because the processor is slow in the stack's own type; --dtype chooses another")
    if not all(isinstance(step.expression, Copy) for step in plan.steps):
        for _, donor in list_baselines(request.stack, request.read):
            with suppress(StackerError):
                return donor.live_stack(options.device, dtype)
    return request.stack.live_stack(options.device, dtype)


def choose_fast_type(stack: Stack, device: str) -> str | None:
    """The type in which a stack is computed if the processor is slow in that of its config; None if it is not."""
    slow = find_slow_type(stack.config, read_processor_flags()) if device == HOST else None
    return INSTEAD if slow else None
