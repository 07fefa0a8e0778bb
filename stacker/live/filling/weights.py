"""Gives the tensors of a plan as torch tensors: mapped from the donors' files where they are copies, else computed.

A mapped tensor takes no memory of its own: its pages are those of the file, and writing to one makes a private copy.
"""

from __future__ import annotations

import mmap
import threading
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import torch

from stacker.core.plan.plan import Step
from stacker.core.plan.task_making import make_step_tasks, simplify
from stacker.core.values.donor import DonorFile
from stacker.core.values.expression import Copy
from stacker.errors import Mark, ProblemWarning, StorageError
from stacker.live.forecast.blueprint import Blueprint
from stacker.live.forecast.weight_keys import Places, WeightKey
from stacker.progress import Watch, ignore_watch
from stacker.run.compute.device import HOST
from stacker.run.compute.finiteness import describe_non_finite
from stacker.run.in_memory import Target, fill_targets
from stacker.run.work.sources import OpenFiles
from stacker.tensors import TensorSpec


class DonorMaps:
    """Keeps the donors' files mapped into memory; a file is mapped and checked once, however many stacks read it.

    `doubted` has the values of which was said that they are infinite or not a number.
    """

    def __init__(self) -> None:
        self.sources = OpenFiles()
        self.doubted: set[WeightKey] = set()
        self._maps: dict[str, mmap.mmap] = {}
        self._lock = threading.Lock()

    def view(self, file: DonorFile) -> mmap.mmap:
        """The bytes of a file, mapped privately; DonorError if it cannot be opened or was changed."""
        with self._lock:
            found = self._maps.get(str(file.path))
            if found is None:
                with self.sources.lease_local(file) as fd:
                    found = self._maps[str(file.path)] = _map_file(fd, file)
            return found


def _map_file(fd: int, file: DonorFile) -> mmap.mmap:
    try:
        return mmap.mmap(fd, file.size, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
    except OSError as error:
        hint = "allow the process more memory, or stream the layers with --max-memory"
        message = f"cannot map this file of {file.size:,} bytes into memory: {error.strerror}"
        raise StorageError.of(message, hint, Mark(str(file.path))) from error


@dataclass(frozen=True, slots=True)
class Weights:
    """The tensors of one plan, by name; `places` says where the donor tensors are stored, and `maps` maps the files.

    `keys` identifies the value of each tensor, in all plans. Blends are computed on `device`.
    """

    steps: Mapping[str, Step]
    keys: Mapping[str, WeightKey] = field(repr=False)
    places: Places = field(repr=False)
    maps: DonorMaps = field(repr=False)
    device: str = HOST

    def read(self, names: Iterable[str], watch: Watch = ignore_watch) -> dict[str, torch.Tensor]:
        """The tensors called `names`: copies are mapped, all others are computed now, equal ones only once."""
        mapped = {name: self._find_mapped(self.steps[name]) for name in names}
        computed = [name for name, tensor in mapped.items() if tensor is None]
        first = {self.keys[name]: name for name in reversed(computed)}
        made = self.load(first.values(), watch)
        return {name: made[first[self.keys[name]]] if tensor is None else tensor for name, tensor in mapped.items()}

    def load(self, names: Iterable[str], watch: Watch = ignore_watch) -> dict[str, torch.Tensor]:
        """The tensors called `names`, each read or computed into new memory of its own."""
        targets = [Target(self.steps[name], _allocate(self.steps[name].tensor.nbytes)) for name in names]
        return self._fill(targets, watch)

    def load_into(self, arena: memoryview, names: Sequence[str]) -> dict[str, torch.Tensor]:
        """The tensors called `names`, read or computed into the memory `arena`, one after the other.

        `arena` must have the bytes that `count_arena_bytes` returns for them.
        """
        ends = [*accumulate(_align(self.steps[name].tensor.nbytes) for name in names)]
        starts = zip([0, *ends], (self.steps[name] for name in names), strict=False)
        return self._fill([Target(step, arena[at : at + step.tensor.nbytes]) for at, step in starts], ignore_watch)

    def count_arena_bytes(self, names: Iterable[str]) -> int:
        """How many bytes of memory the tensors called `names` take, each aligned."""
        return sum(_align(self.steps[name].tensor.nbytes) for name in names)

    def _fill(self, targets: Sequence[Target], watch: Watch) -> dict[str, torch.Tensor]:
        report = fill_targets(targets, self.places, self.maps.sources, device=self.device, watch=watch)
        if report.non_finite:
            self._warn(report.non_finite)
        return {each.step.tensor.name: view_tensor(each.memory, 0, each.step.tensor) for each in targets}

    def _warn(self, names: Sequence[str]) -> None:
        """Warn, once for each value, that tensors were computed to values that are infinite or not a number."""
        steps = [self.steps[name] for name in names if self.keys[name] not in self.maps.doubted]
        self.maps.doubted.update(self.keys[name] for name in names)
        if not steps:
            return
        tasks = make_step_tasks(steps[0], self.places)
        problem = describe_non_finite(steps, tasks, self.maps.sources)
        warnings.warn(ProblemWarning(problem), stacklevel=2)

    def _find_mapped(self, step: Step) -> torch.Tensor | None:
        """The tensor of a step as mapped from its donor's file, or None if it has to be computed.

        None also if the donor's file stores it at an address that torch cannot read elements from.
        """
        expression = simplify(step.expression, step.tensor.dtype)
        if not isinstance(expression, Copy) or not step.tensor.nbytes:
            return None
        place = self.places[expression.tensor]
        if place.dtype != step.tensor.dtype or place.offset % (place.dtype.bits // 8):
            return None
        return view_tensor(self.maps.view(place.file), place.offset, step.tensor)


_ALIGNMENT = 64
"""The addresses of tensors that are read are multiples of this many bytes, as torch's own are."""


def _align(nbytes: int) -> int:
    return -(-nbytes // _ALIGNMENT) * _ALIGNMENT


def _allocate(nbytes: int) -> memoryview:
    return memoryview(mmap.mmap(-1, max(nbytes, 1)))


def open_weights(blueprint: Blueprint, maps: DonorMaps, device: str = HOST) -> Weights:
    """The weights of a blueprint's plan."""
    steps = {step.tensor.name: step for step in blueprint.plan.steps}
    return Weights(steps, blueprint.keys, blueprint.places, maps, device)


def view_tensor(memory: mmap.mmap | memoryview, offset: int, spec: TensorSpec) -> torch.Tensor:
    """A tensor whose elements are the bytes of `memory` from `offset` on; nothing is copied."""
    dtype: torch.dtype = getattr(torch, spec.dtype.torch_name)
    if not spec.elements:
        return torch.empty(spec.shape, dtype=dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about memory that is not writable, which this is
        return torch.frombuffer(memory, dtype=dtype, count=spec.elements, offset=offset).reshape(spec.shape)
