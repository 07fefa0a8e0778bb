"""Completes the headers of GGUF files with the metadata that is copied from donors, such as their tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from stacker.core.plan.plan import Plan, Shard
from stacker.core.values.donor import Donor
from stacker.core.values.metadata import Borrowed
from stacker.errors import DonorError, Mark
from stacker.io.donors.gguf import read_range


def fill_headers(plan: Plan, donors: Mapping[str, Donor]) -> Plan:
    """The plan with complete headers; the first files of the donors must be on this machine."""
    return replace(plan, shards=tuple(_fill(shard, donors) for shard in plan.shards))


def _fill(shard: Shard, donors: Mapping[str, Donor]) -> Shard:
    if not shard.patches:
        return shard
    header = bytearray(shard.header)
    for patch in shard.patches:
        header[patch.at : patch.at + patch.source.nbytes] = _read(patch.source, donors)
    return replace(shard, header=bytes(header), patches=())


def _read(source: Borrowed, donors: Mapping[str, Donor]) -> bytes:
    donor = donors[source.donor]
    path = donor.files[0].path if donor.files else None
    if path is None:
        message = f"the metadata of donor '{source.donor}' is copied from its file, which is not on this machine"
        raise DonorError.of(message, "GGUF donors cannot be streamed: leave out --stream", Mark(donor.source))
    return read_range(Path(path), source.begin, source.nbytes)
