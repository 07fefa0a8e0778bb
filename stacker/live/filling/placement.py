"""Puts a live model on a device, so that shared parameters stay shared."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch

from stacker.errors import SpecError
from stacker.live.forecast.memory import MB
from stacker.run.compute.device import AUTO, HOST

_DEVICE = re.compile(r"cpu|cuda(:\d+)?|auto")
_SPARE = 0.9
"""The part of a GPU's free memory that weights may fill; the rest is for activations and the cache."""


def check_device(device: str) -> None:
    """Raise a SpecError if `device` is not `cpu`, `auto`, or a GPU of this machine."""
    if not _DEVICE.fullmatch(device):
        raise SpecError.of(f"'{device}' is no device", "write cpu, cuda, auto, or cuda:1 for the second GPU")
    if device in (HOST, AUTO):
        return
    count, number = torch.cuda.device_count(), int(device.partition(":")[2] or 0)
    if number >= count:
        seen = f"torch sees {count} GPU{'s'[: count != 1]}"
        raise SpecError.of(f"there is no device '{device}' here", f"{seen}; leave the device out to use the processor")


def place_model(model: Any, device: str, nbytes: int) -> bool:
    """Move a loaded model, whose distinct weights take `nbytes`, to a device; its Parameter objects stay the same.

    With `auto`, a GPU takes the model if there is one with enough memory. If the model is too large, accelerate divides
    it between the GPUs and the processor, where copied weights stay in the donors' files. Returns False in that case,
    because accelerate replaces parameters. SpecError if the chosen GPU has too little memory.
    """
    if device == HOST or (device == AUTO and not torch.cuda.is_available()):
        return True
    chosen = "cuda" if device == AUTO else device
    free = int(torch.cuda.mem_get_info(torch.device(chosen))[0] * _SPARE)
    if nbytes <= free:
        model.to(chosen)
        return True
    if device != AUTO:
        message = f"the weights take {nbytes // MB} MB, and {chosen} has {free // MB} MB free"
        raise SpecError.of(message, "write --device auto to use the processor too, or set --max-memory")
    divide_model(model, {number: int(torch.cuda.mem_get_info(number)[0] * _SPARE) for number in _list_gpus()})
    return False


def divide_model(model: Any, memory: Mapping[int | str, int]) -> None:
    """Let accelerate divide a model between the processor and the GPUs; `memory` has the bytes for each GPU."""
    from accelerate import dispatch_model, infer_auto_device_map

    kept = list(model._no_split_modules or ())
    places = infer_auto_device_map(model, max_memory={"cpu": 1 << 60, **memory}, no_split_module_classes=kept)
    dispatch_model(model, device_map=places)


def place_ends(model: Any, device: str) -> None:
    """Move the parameters and buffers of a hollow model that have memory to a device."""
    for module in model.modules():
        for held in (module._parameters, module._buffers):
            for name, tensor in held.items():
                if tensor is not None and not tensor.is_meta:
                    tensor.data = tensor.data.to(device)
                    held[name] = tensor


def _list_gpus() -> range:
    return range(torch.cuda.device_count())
