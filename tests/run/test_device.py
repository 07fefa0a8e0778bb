"""Arithmetic on another device: the same tiles by way of staging memory; on a GPU, tools/bench holds it to the rest."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stacker.errors import SpecError
from stacker.run.device import DeviceScratch, scratch_on
from stacker.run.tiles import Room, Scratch
from stacker.tensors import Dtype

ROOM = Room(slots=3, width=8, wide=1, elements=64)
NARROW = (Dtype.BF16, Dtype.F16, Dtype.F32, Dtype.F64, Dtype.F8_E4M3)


def fill(data: bytes) -> object:
    """What puts these bytes where it is told to."""

    def read(view: memoryview) -> None:
        view[:] = data

    return read


@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=64), st.sampled_from(NARROW))
def test_bytes_come_and_go_as_in_host_scratch(values: list[float], dtype: Dtype) -> None:
    """Loading and unloading by way of staging memory gives the bytes that the processor's scratch gives."""
    kind = Dtype.F64 if dtype is Dtype.F64 else Dtype.F32
    data = bytes(torch.tensor(values).to(getattr(torch, dtype.torch_name)).view(torch.uint8).tolist())
    found = []
    for scratch in (Scratch(ROOM), DeviceScratch(torch.device("cpu"), ROOM)):
        tile = scratch.load(1, len(values), kind, dtype, fill(data))  # type: ignore[arg-type]
        found.append(bytes(scratch.unload(tile.mul_(1.5), dtype)))
    assert found[0] == found[1]


def test_slots_do_not_overlap() -> None:
    """Tiles of several sources, and the wide ones, stand beside each other."""
    scratch = DeviceScratch(torch.device("cpu"), ROOM)
    tiles = [scratch.tile(slot, 64, Dtype.F64).fill_(slot) for slot in range(3)]
    scratch.wide(0, 64).fill_(9)
    scratch.raw(64, Dtype.F64).fill_(7)
    assert [set(tile.tolist()) for tile in tiles] == [{0}, {1}, {2}]


@pytest.mark.parametrize(
    ("device", "message"), [("gpu", "'gpu' is no device"), ("cuda:99", "no device 'cuda:99' here")]
)
def test_a_device_that_is_not_there_is_named(device: str, message: str) -> None:
    """No traceback of torch's: what was asked for, and how many there are."""
    with pytest.raises(SpecError, match=message):
        scratch_on(device)


def test_the_processor_needs_no_device() -> None:
    """cpu is the plain scratch."""
    assert scratch_on("cpu") is Scratch
