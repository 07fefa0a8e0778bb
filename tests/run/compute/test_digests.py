"""Digests of computed tensors do not depend on the order of the chunks, but on every byte and its place."""

from __future__ import annotations

import random

import pytest
import xxhash

from stacker.run.compute.digests import TensorDigests, find_chunk_length

DATA = random.Random(3).randbytes(1000)


def digest(data: bytes, chunk: int = 300, order: int = 1) -> str:
    """The digest of a tensor whose chunks are added from the first to the last (1), or from the last (-1)."""
    digests = TensorDigests()
    for begin in range(0, len(data), chunk)[::order]:
        digests.add("tensor", begin, memoryview(data)[begin : begin + chunk])
    return digests.take("tensor")


def test_a_digest_is_the_sum_of_the_chunks_digests() -> None:
    """The library's digests of the chunks, each with its place as the seed, add up to the digest."""
    parts = (xxhash.xxh3_128_intdigest(DATA[begin : begin + 300], seed=begin) for begin in range(0, 1000, 300))
    assert digest(DATA) == f"300:{sum(parts) % 2**128:032x}"
    assert find_chunk_length(digest(DATA)) == 300


def test_the_order_does_not_matter() -> None:
    """Threads may add the chunks in any order."""
    assert digest(DATA, order=-1) == digest(DATA)


@pytest.mark.parametrize("place", [0, 299, 300, 999])
def test_every_bit_matters(place: int) -> None:
    """A flipped bit changes the digest."""
    damaged = bytearray(DATA)
    damaged[place] ^= 1
    assert digest(bytes(damaged)) != digest(DATA)


def test_exchanged_chunks_matter() -> None:
    """The same chunks in other places have another digest."""
    assert digest(DATA[300:600] + DATA[:300] + DATA[600:]) != digest(DATA)


@pytest.mark.parametrize("text", ["", "x", "12", "-4:ff", ":", "300:"])
def test_what_is_no_digest_has_no_chunks(text: str) -> None:
    """A text that is no digest has the chunk length 0."""
    assert find_chunk_length(text) == 0


def test_a_digest_is_taken_once() -> None:
    """Taking a digest forgets it."""
    digests = TensorDigests()
    digests.add("tensor", 0, memoryview(DATA))
    assert digests.take("tensor")
    assert digests.take("tensor") == ""
