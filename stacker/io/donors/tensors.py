"""Builds the tensors and files of a Donor from the headers of its weight files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from stacker.arch.placement import TensorPlacement
from stacker.core.values.donor import DonorFile, DonorTensor, Extent
from stacker.errors import Mark, StackerError
from stacker.formats.safetensors import Header
from stacker.io.files.repository import Repository
from stacker.tensors import TensorSpec


@contextmanager
def default_mark(mark: Mark) -> Iterator[None]:
    """Add `mark` to each problem that has no mark, in a StackerError that the `with` block raises."""
    try:
        yield
    except StackerError as error:
        problems = (replace(problem, mark=problem.mark or mark) for problem in error.problems)
        raise type(error)(*problems) from error


def build_tensors(headers: Mapping[str, Header], placements: Mapping[str, TensorPlacement]) -> dict[str, DonorTensor]:
    """The tensors that a stack may use, by their names in the architecture, in the order of their bytes in the files.

    `placements` maps a tensor's name in the file to the tensor's place in the architecture.
    """
    tensors = {}
    for number, header in enumerate(headers.values()):
        for tensor in header.tensors:
            place = placements[tensor.spec.name]
            if not place.ignored:
                extent = Extent(number, tensor.begin, tensor.nbytes)
                tensors[place.name] = build_tensor(tensor.spec, place, extent)
    return tensors


def build_tensor(spec: TensorSpec, place: TensorPlacement, extent: Extent | None = None) -> DonorTensor:
    named = spec if spec.name == place.name else replace(spec, name=place.name)
    return DonorTensor(named, place.part, place.role, place.layer, place.suffix, extent)


def build_files(repository: Repository, headers: Mapping[str, Header]) -> tuple[DonorFile, ...]:
    return tuple(
        DonorFile(name, header.size, header.digest, find_local_path(repository, name), header.stamp, header.data_start)
        for name, header in headers.items()
    )


def find_local_path(repository: Repository, name: str) -> str | None:
    """The absolute path of a file on this machine; None if the file is only on the hub."""
    path = repository.find_path(name)
    return str(path.absolute()) if path else None
