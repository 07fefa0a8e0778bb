"""Allocates scratch memory on a GPU, and copies bytes to and from it through pinned host memory.

Each worker thread has its own CUDA stream, so that one thread can read or write files while the GPU computes for
another thread.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from stacker.errors import SpecError
from stacker.io.disk.direct import DIRECT_ALIGNMENT
from stacker.run.compute.scratch import (
    HostScratch,
    Scratch,
    ScratchSize,
    decode_blocks,
    encode_blocks,
    rescale_blocks,
)
from stacker.tensors import Dtype

if TYPE_CHECKING:
    import torch

    from stacker.arithmetic.backend import Array, Backend

_NAME = re.compile(r"cuda(:\d+)?")
HOST = "cpu"
AUTO = "auto"


def choose_scratch(device: str) -> Callable[[ScratchSize], Scratch]:
    """The function that allocates scratch memory on `device` (`cpu`, `cuda`, `cuda:1` for the second GPU, or `auto`).

    `auto` is the first GPU if torch is installed and sees one, else the CPU.

    SpecError if there is no such device, or if the device needs torch and torch is not installed.
    """
    if device == AUTO:
        device = "cuda" if _has_gpu() else HOST
    if device == HOST:
        return HostScratch
    if not _NAME.fullmatch(device):
        raise SpecError.of(f"'{device}' is no device", "write cpu, cuda, auto, or cuda:1 for the second GPU")
    try:
        import torch
    except ImportError as error:
        message = f"'{device}' needs torch, which is not installed"
        raise SpecError.of(
            message, "pip install 'stacker-llm[gpu]', or leave out --device (or --cuda) to use the processor"
        ) from error
    count = torch.cuda.device_count()
    number = int(device.partition(":")[2] or 0)
    if number >= count:
        built = "" if torch.version.cuda else "; this torch was built without CUDA"
        seen = f"torch sees {count} GPU{'s'[: count != 1]}{built}"
        raise SpecError.of(
            f"there is no device '{device}' here", f"{seen}; leave out --device (or --cuda) to use the processor"
        )
    return partial(DeviceScratch, torch.device(device))


def _has_gpu() -> bool:
    try:
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()


class DeviceScratch:
    """Scratch memory on a torch device; it must be created and used by the same thread."""

    def __init__(self, device: torch.device, size: ScratchSize) -> None:
        import torch

        from stacker.arithmetic.torch_backend import TorchBackend

        self.backend: Backend = TorchBackend(device)
        self._size = size.elements * size.width
        on_gpu = device.type == "cuda"
        # torch leaves this constructor untyped
        self._stream = torch.cuda.Stream(device) if on_gpu else None  # type: ignore[no-untyped-call]
        if self._stream:
            torch.cuda.set_stream(self._stream)
        self._memory = torch.empty((1 + size.slots) * self._size, dtype=torch.uint8, device=device)
        self._host = _aligned(torch.empty(self._size + 2 * DIRECT_ALIGNMENT, dtype=torch.uint8, pin_memory=on_gpu))
        self._host_bytes = _bytes_of(self._host)

    def tile(self, slot: int, count: int, kind: Dtype) -> torch.Tensor:
        return self._slot(1 + slot, count, kind)

    def raw(self, count: int, dtype: Dtype) -> torch.Tensor:
        return self._slot(0, count, dtype)

    def load(
        self, slot: int, count: int, kind: Dtype, dtype: Dtype, read: Callable[[memoryview], None]
    ) -> torch.Tensor:
        nbytes = dtype.nbytes(count)
        self._wait()
        read(self._host_bytes[:nbytes])
        if dtype.block > 1:
            import numpy as np
            import torch

            decoded = decode_blocks(self._host_bytes[:nbytes], dtype, np.empty(count, np.float32))
            return self.tile(slot, count, kind).copy_(torch.from_numpy(decoded))
        target = self.tile(slot, count, kind) if dtype is kind else self.raw(count, dtype)
        target.copy_(self._host[:nbytes].view(target.dtype), non_blocking=True)
        return target if dtype is kind else self.tile(slot, count, kind).copy_(target)

    def fill(self, slot: int, count: int, kind: Dtype, write: Callable[[Array], None]) -> torch.Tensor:
        import numpy as np
        import torch

        values = np.empty(count, kind.torch_name)
        write(values)
        return self.tile(slot, count, kind).copy_(torch.from_numpy(values))

    def keep(self, count: int, kind: Dtype, dtype: Dtype, read: Callable[[memoryview], None]) -> torch.Tensor:
        import torch

        held = torch.empty(dtype.nbytes(count), dtype=torch.uint8)
        read(_bytes_of(held))
        if dtype.block > 1:
            import numpy as np

            decoded = decode_blocks(_bytes_of(held), dtype, np.empty(count, np.float32))
            return torch.from_numpy(decoded).to(self._memory.device, getattr(torch, kind.torch_name))
        moved = held.view(getattr(torch, dtype.torch_name)).to(self._memory.device)
        kept = moved.to(getattr(torch, kind.torch_name))
        self._wait()
        return kept

    def unload(self, tile: torch.Tensor, dtype: Dtype, residue: int = 0) -> memoryview:
        count = tile.numel()
        import torch

        if dtype.block > 1:
            values = tile.to("cpu", torch.float32).numpy()
            return encode_blocks(values, dtype, self._host_bytes[residue : residue + dtype.nbytes(count)])
        held = self.backend.convert(self.raw(count, dtype), tile)
        place = slice(residue, residue + count * dtype.bits // 8)
        self._wait()
        self._host[place].copy_(held.view(torch.uint8), non_blocking=True)
        self._wait()
        return self._host_bytes[place]

    def rescale(
        self, count: int, dtype: Dtype, factor: float, residue: int, read: Callable[[memoryview], None]
    ) -> memoryview:
        held = self._host_bytes[residue : residue + dtype.nbytes(count)]
        read(held)
        return rescale_blocks(held, dtype, factor)

    def round_blocks(self, tile: torch.Tensor, dtype: Dtype) -> torch.Tensor:
        import torch

        values = tile.to("cpu", torch.float32).numpy()
        held = encode_blocks(values, dtype, self._host_bytes[: dtype.nbytes(len(values))])
        return tile.copy_(torch.from_numpy(decode_blocks(held, dtype, values)))

    def _wait(self) -> None:
        if self._stream:
            self._stream.synchronize()

    def _slot(self, number: int, count: int, dtype: Dtype) -> torch.Tensor:
        begin = number * self._size
        tensor: torch.Tensor = self.backend.array(self._memory[begin : begin + count * dtype.bits // 8], dtype)
        return tensor


def _aligned(tensor: torch.Tensor) -> torch.Tensor:
    """The rest of a byte tensor from the first byte on whose address is divisible by DIRECT_ALIGNMENT."""
    return tensor[-tensor.data_ptr() % DIRECT_ALIGNMENT :]


def _bytes_of(tensor: torch.Tensor) -> memoryview:
    """A memoryview of a flat byte tensor in host memory; the caller must keep the tensor alive while using it."""
    return memoryview((ctypes.c_ubyte * tensor.numel()).from_address(tensor.data_ptr())).cast("B")
