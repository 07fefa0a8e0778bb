"""Measures how far the weights of two donors are from each other, tensor by tensor on all cores, in tiles."""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

from stacker.core.study.distances import Distance, SkippedTensor, TensorDistance, WeightDistances
from stacker.core.values.donor import Donor, DonorTensor, Extent, collect_donors
from stacker.progress import Watch, ignore_watch
from stacker.run.tiles import find_matrix_shape, make_compute, make_reading, read_tiles
from stacker.run.work.sources import OpenFiles
from stacker.run.work.workers import count_workers
from stacker.tensors import Dtype

_PIECE = 1 << 20
"""How many bytes of quantised tensors are compared at once."""


def measure_distances(one: Donor, other: Donor, watch: Watch = ignore_watch) -> WeightDistances:
    """Measure the distance of every tensor that both donors have with one shape and in full precision.

    Of quantised tensors, bytes are compared. The donors must have different names, and weights that can be read.
    `watch` is called with the number of bytes of the first donor done and in all.
    """
    donors = collect_donors({one.name: one, other.name: other})
    skipped = _find_skipped(one, other)
    tensors = [tensor for name, tensor in one.tensors.items() if name not in skipped]
    total, done, found = sum(tensor.spec.nbytes for tensor in tensors), 0, []
    with closing(OpenFiles()) as sources, ThreadPoolExecutor(count_workers()) as pool:
        try:
            for measured in pool.map(partial(_measure, (one, other), donors, sources), tensors):
                found.append(measured)
                done += one.tensors[measured.name].spec.nbytes
                watch(done, total)
            compared = pool.map(partial(_compare_bytes, one, other, sources), skipped.items())
            return WeightDistances(one.depth, tuple(found), tuple(compared))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _find_skipped(one: Donor, other: Donor) -> dict[str, str]:
    """The tensors for which there is no distance, by name, with the reasons."""
    packed = _find_packed(one) | _find_packed(other)
    reasons = {name: _find_reason(one, other, name, packed) for name in one.tensors}
    alone = {name: "only in the second" for name in other.tensors if name not in one.tensors}
    return {name: reason for name, reason in reasons.items() if reason} | alone


def _find_reason(one: Donor, other: Donor, name: str, packed: Collection[str]) -> str:
    if name not in other.tensors:
        return "only in the first"
    first, second = one.tensors[name].spec, other.tensors[name].spec
    if first.shape != second.shape:
        return "another shape"
    if name.rpartition(".")[0] in packed:
        return f"quantised ({one.quantized or other.quantized})"
    others = [spec.dtype.label for spec in (first, second) if not spec.dtype.arithmetic]
    return f"stored as {others[0]}" if others else ""


def _find_packed(donor: Donor) -> set[str]:
    """The modules whose weights are quantised, so that none of their tensors has a meaning of its own."""
    if not donor.quantized:
        return set()
    specs = (tensor.spec for tensor in donor.tensors.values())
    return {spec.name.rpartition(".")[0] for spec in specs if spec.dtype.bits <= 8 or not spec.dtype.arithmetic}


def _compare_bytes(one: Donor, other: Donor, sources: OpenFiles, skipped: tuple[str, str]) -> SkippedTensor:
    name, reason = skipped
    pair = [(donor, donor.tensors[name]) for donor in (one, other) if name in donor.tensors]
    extents = [(donor, tensor.extent) for donor, tensor in pair if tensor.extent]
    if len(extents) < 2 or len({(tensor.spec.dtype, tensor.spec.shape) for _, tensor in pair}) > 1:
        return SkippedTensor(name, reason)
    return SkippedTensor(name, reason, all(map(operator.eq, *(_read_pieces(*each, sources) for each in extents))))


def _read_pieces(donor: Donor, extent: Extent, sources: OpenFiles) -> Iterator[bytes]:
    for start in range(0, extent.nbytes, _PIECE):
        piece = bytearray(min(_PIECE, extent.nbytes - start))
        with sources.lease(donor.files[extent.file]) as source:
            source.read_into(memoryview(piece), extent.offset + start)
        yield bytes(piece)


def _measure(
    pair: tuple[Donor, Donor], donors: Mapping[str, Donor], sources: OpenFiles, tensor: DonorTensor
) -> TensorDistance:
    import numpy as np

    from stacker.arithmetic.distances import add_distances

    name, shape = tensor.spec.name, find_matrix_shape(tensor.spec)
    specs = [donor.tensors[name].spec for donor in pair]
    kind = Dtype.F64 if any(spec.dtype is Dtype.F64 for spec in specs) else Dtype.F32
    computes = [make_compute(make_reading(donor, name), tensor.spec, donors, kind) for donor in pair]
    totals, differing = np.zeros(4), 0
    for first, second in zip(*(read_tiles(compute, shape, sources) for compute in computes), strict=True):
        differing += add_distances(first, second, totals)
    distance = Distance(1, tensor.spec.elements, differing, *totals.tolist())
    return TensorDistance(name, tensor.role, tensor.layer, distance)
