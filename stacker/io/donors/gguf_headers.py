"""Completes the headers of GGUF files with the metadata that is copied from donors, such as their tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from stacker.core.plan.plan import Plan, Shard
from stacker.core.values.donor import Donor
from stacker.io.donors.gguf import read_range
from stacker.io.donors.openers import read_remote_header


def fill_headers(plan: Plan, donors: Mapping[str, Donor]) -> Plan:
    """The plan with complete headers; what is copied from a file that is elsewhere is read from its server."""
    sources = {patch.source.donor for shard in plan.shards for patch in shard.patches}
    remote = {
        name: read_remote_header(donors[name], file) for name in sources if not (file := donors[name].files[0]).path
    }
    return replace(plan, shards=tuple(_fill(shard, donors, remote) for shard in plan.shards))


def _fill(shard: Shard, donors: Mapping[str, Donor], remote: Mapping[str, bytes]) -> Shard:
    """The shard with a complete header; `remote` has the headers of donors that are on a server, by name."""
    if not shard.patches:
        return shard
    header = bytearray(shard.header)
    for patch in shard.patches:
        source = patch.source
        path, end = donors[source.donor].files[0].path, source.begin + source.nbytes
        own = read_range(Path(path), source.begin, source.nbytes) if path else remote[source.donor][source.begin : end]
        header[patch.at : patch.at + source.nbytes] = own
    return replace(shard, header=bytes(header), patches=())
