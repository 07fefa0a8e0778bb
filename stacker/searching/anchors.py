"""Loads the live stack with which all stacks of a search share weights, in a type that the processor is fast in."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import torch

from stacker.compose import Stack
from stacker.core.values.expression import Copy
from stacker.errors import StackerError
from stacker.live.live_stack import LiveStack
from stacker.run.compute.device import HOST
from stacker.searching.contenders import list_baselines
from stacker.searching.preparation import Request

INSTEAD = "float32"
_IS_FAST: dict[str, Callable[[], bool]] = {
    "bfloat16": torch.ops.mkldnn._is_mkldnn_bf16_supported,
    "float16": torch.ops.mkldnn._is_mkldnn_fp16_supported,
}
"""Says of a type whether PyTorch multiplies matrices of it with instructions of this processor."""


def load_anchor(request: Request, note: Callable[[str], None]) -> LiveStack:
    """A live stack of weights that lie in a donor's files: the start, or if the start is computed, one of its donors.

    So a computed start takes memory only while it is measured. `note` is told of a type that is not the weights' own.
    """
    options, plan = request.options, request.stack.plan()
    dtype = options.dtype or choose_dtype(request.stack, options.device)
    if dtype != options.dtype:
        note(f"computing in {dtype}, because the processor is slow in the weights' own type; --dtype chooses another")
    if not all(isinstance(step.expression, Copy) for step in plan.steps):
        for _, donor in list_baselines(request.stack, request.read):
            with suppress(StackerError):
                return donor.live_stack(options.device, dtype)
    return request.stack.live_stack(options.device, dtype)


def choose_dtype(stack: Stack, device: str) -> str | None:
    """The type in which a stack is computed if the processor is slow in that of its weights; None if it is not."""
    plan = stack.plan()
    floats = [step.tensor.dtype.torch_name for step in plan.steps if step.tensor.dtype.arithmetic]
    own = str(plan.config.get("dtype") or plan.config.get("torch_dtype") or next(iter(floats), INSTEAD))
    is_fast = _IS_FAST.get(own.removeprefix("torch."), lambda: True)
    return None if device != HOST or is_fast() else INSTEAD
