"""Scratch on a GPU: tiles live there, donors' bytes come and results go by way of pinned memory here.

Each worker has a stream of its own, so that one reads or writes files while another's tiles are computed.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from stacker.errors import SpecError
from stacker.run.tiles import Room, Scratch, round_into
from stacker.tensors import Dtype

if TYPE_CHECKING:
    import torch

_NAME = re.compile(r"cuda(:\d+)?")
HOST = "cpu"


def scratch_on(device: str) -> Callable[[Room], Scratch | DeviceScratch]:
    """What makes a worker's scratch for a device, `cpu`, `cuda` or `cuda:k`; SpecError when there is no such one."""
    if device == HOST:
        return Scratch
    import torch

    if not _NAME.fullmatch(device):
        raise SpecError.of(f"'{device}' is no device", "write cpu, cuda, or cuda:1 for the second GPU")
    count = torch.cuda.device_count()
    number = int(device.partition(":")[2] or 0)
    if number >= count:
        built = "" if torch.version.cuda else "; this torch was built without CUDA"
        seen = f"torch sees {count} GPU{'s'[: count != 1]}{built}"
        raise SpecError.of(f"there is no device '{device}' here", f"{seen}; leave --device out to use the processor")
    return partial(DeviceScratch, torch.device(device))


class DeviceScratch:
    """The same room as `Scratch`, on a device; to be made and used by one thread."""

    def __init__(self, device: torch.device, room: Room) -> None:
        import torch

        self._size = room.elements * room.width
        self._wide = (1 + room.slots) * self._size
        self._wide_size = room.elements * 8
        on_gpu = device.type == "cuda"
        # torch leaves this constructor untyped
        self._stream = torch.cuda.Stream(device) if on_gpu else None  # type: ignore[no-untyped-call]
        if self._stream:
            torch.cuda.set_stream(self._stream)
        self._memory = torch.empty(self._wide + room.wide * self._wide_size, dtype=torch.uint8, device=device)
        self._host = torch.empty(self._size, dtype=torch.uint8, pin_memory=on_gpu)
        self._host_bytes = _bytes_of(self._host)

    def tile(self, slot: int, count: int, kind: Dtype) -> torch.Tensor:
        """The first `count` elements of a slot."""
        return self._tensor((1 + slot) * self._size, count, kind)

    def raw(self, count: int, dtype: Dtype) -> torch.Tensor:
        """Room for `count` elements of any type that the arithmetic's width holds."""
        return self._tensor(0, count, dtype)

    def wide(self, number: int, count: int) -> torch.Tensor:
        """The first `count` elements of an fp64 tile that ops may write into."""
        return self._tensor(self._wide + number * self._wide_size, count, Dtype.F64)

    def load(
        self, slot: int, count: int, kind: Dtype, dtype: Dtype, read: Callable[[memoryview], None]
    ) -> torch.Tensor:
        """A tile of what `read` puts into the bytes it is given, elements of `dtype`."""
        nbytes = count * dtype.bits // 8
        self._wait()
        read(self._host_bytes[:nbytes])
        target = self.tile(slot, count, kind) if dtype is kind else self.raw(count, dtype)
        target.copy_(self._host[:nbytes].view(target.dtype), non_blocking=True)
        return target if dtype is kind else self.tile(slot, count, kind).copy_(target)

    def unload(self, tile: torch.Tensor, dtype: Dtype) -> memoryview:
        """A tile's values as bytes of `dtype`, each rounded once; they lie here until the scratch's next use."""
        count = tile.numel()
        held = self.raw(count, dtype)
        round_into(held, tile)
        nbytes = count * dtype.bits // 8
        self._wait()
        self._host[:nbytes].view(held.dtype).copy_(held, non_blocking=True)
        self._wait()
        return self._host_bytes[:nbytes]

    def _wait(self) -> None:
        if self._stream:
            self._stream.synchronize()

    def _tensor(self, offset: int, count: int, dtype: Dtype) -> torch.Tensor:
        import torch

        kind: torch.dtype = getattr(torch, dtype.torch_name)
        return self._memory[offset : offset + count * dtype.bits // 8].view(kind)


def _bytes_of(tensor: torch.Tensor) -> memoryview:
    """The memory of a flat tensor of bytes, which must outlive what is returned."""
    return memoryview((ctypes.c_ubyte * tensor.numel()).from_address(tensor.data_ptr())).cast("B")
