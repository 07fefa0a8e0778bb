"""Defines how shards may be laid out. The command line imports it at its start, so it imports nothing of stacker."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

BLOCK = 4096
"""The block size of most filesystems, in bytes."""


class LayoutKind(StrEnum):
    """How shards are laid out: so that blocks can be cloned (`clone`) or not (`plain`).

    `auto` means `clone` where the filesystem supports cloning, `plain` elsewhere.
    """

    AUTO = "auto"
    PLAIN = "plain"
    CLONE = "clone"


@dataclass(frozen=True, slots=True)
class Layout:
    """How tensors are divided among shards; `shard_size` is the most bytes of tensors in one shard.

    If `block` (bytes) is set, every long run of copied tensors has the same offset modulo `block` as in its donor's
    file. A filesystem can then clone the run, but more shards may be needed.
    """

    shard_size: int = 5_000_000_000
    block: int | None = None
