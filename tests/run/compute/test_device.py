"""Scratch on a device, tried on torch's CPU device; `python -m tools.gpu` compares a GPU with the processor."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stacker.errors import SpecError
from stacker.io.disk.direct import DIRECT_ALIGNMENT
from stacker.run.compute.device import DeviceScratch, choose_scratch
from stacker.run.compute.scratch import HostScratch, Scratch, ScratchSize
from stacker.tensors import DTYPES, Dtype

ROOM = ScratchSize(slots=3, width=8, elements=64)
KINDS = [dtype for dtype in DTYPES.values() if dtype.arithmetic]
CPU = torch.device("cpu")


def fill(data: bytes) -> Callable[[memoryview], None]:
    """A reader that fills a view with these bytes."""

    def read(view: memoryview) -> None:
        view[:] = data

    return read


@pytest.mark.parametrize("residue", [0, 8, 4088])
@given(values=st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=64), dtype=st.sampled_from(KINDS))
def test_bytes_come_and_go_as_in_host_scratch(values: list[float], dtype: Dtype, residue: int) -> None:
    """Loading and unloading through staging memory returns the same bytes as the processor's scratch."""
    kind = Dtype.F64 if dtype is Dtype.F64 else Dtype.F32
    data = bytes(torch.tensor(values).to(getattr(torch, dtype.torch_name)).view(torch.uint8).tolist())
    found = []
    for scratch in (HostScratch(ROOM), DeviceScratch(CPU, ROOM)):
        tile = scratch.load(1, len(values), kind, dtype, fill(data))
        found.append(bytes(scratch.unload(scratch.backend.combine([1.5], [tile]), dtype, residue)))
    assert found[0] == found[1]


@pytest.mark.parametrize("scratch", [HostScratch(ROOM), DeviceScratch(CPU, ROOM)], ids=["host", "device"])
def test_slots_do_not_overlap(scratch: Scratch) -> None:
    """Slots overlap neither each other nor the raw bytes, at any residue."""
    tiles = [scratch.backend.fill(scratch.tile(slot, 64, Dtype.F64), slot) for slot in range(3)]
    scratch.unload(scratch.backend.fill(scratch.raw(64, Dtype.F64), 7.0), Dtype.F64, 4088)
    assert [set(tile.tolist()) for tile in tiles] == [{0}, {1}, {2}]


@pytest.mark.parametrize("scratch", [HostScratch(ROOM), DeviceScratch(CPU, ROOM)], ids=["host", "device"])
def test_bytes_are_aligned_for_direct_writes(scratch: Scratch) -> None:
    """The address of unloaded bytes has the requested residue, so that they can be written past the page cache."""
    data = scratch.unload(scratch.backend.fill(scratch.tile(0, 8, Dtype.F32), 1.0), Dtype.BF16, 1234)
    assert ctypes.addressof(ctypes.c_char.from_buffer(data)) % DIRECT_ALIGNMENT == 1234


@pytest.mark.parametrize(
    ("device", "message"), [("gpu", "'gpu' is no device"), ("cuda:99", "no device 'cuda:99' here")]
)
def test_a_device_that_is_not_there_is_named(device: str, message: str) -> None:
    """An unknown device is a SpecError that names it and says how many GPUs torch sees."""
    with pytest.raises(SpecError, match=message):
        choose_scratch(device)


def test_torch_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU without torch installed is a SpecError that says how to install it."""
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(SpecError, match=r"needs torch.*\n?.*stacker-llm\[gpu\]"):
        choose_scratch("cuda")


def test_the_processor_needs_no_device() -> None:
    """`cpu` is HostScratch."""
    assert choose_scratch("cpu") is HostScratch


def test_auto_is_the_processor_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` never fails for want of a GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_scratch("auto") is HostScratch
