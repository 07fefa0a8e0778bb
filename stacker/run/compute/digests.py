"""Digests of computed tensors, by which a resumed build recognises what an earlier run has computed.

The digest (XXH3, 128 bits) detects accidents such as damaged disk blocks. It does not detect changes made on purpose,
and need not, because the unfinished work of other users is refused.
"""

from __future__ import annotations

import threading

_MODULUS = 1 << 128


class TensorDigests:
    """Adds up the digests of the chunks of tensors, which threads compute in any order.

    The digest of a tensor is a text `CHUNK:HEX`: the length of a chunk in bytes, and the sum of the chunks' digests.
    """

    def __init__(self) -> None:
        self._sums: dict[str, tuple[int, int]] = {}
        self._lock = threading.Lock()

    def add(self, tensor: str, begin: int, data: memoryview) -> None:
        """Add the chunk `data`, which starts at byte `begin` of a tensor.

        All chunks of a tensor except the last have the same length.
        """
        digest = _digest_chunk(begin, data)
        with self._lock:
            chunk, total = self._sums.get(tensor, (0, 0))
            self._sums[tensor] = max(chunk, len(data)), (total + digest) % _MODULUS

    def take(self, tensor: str) -> str:
        """Forget a tensor whose chunks have all been added, and return its digest; "" if it has no chunks."""
        with self._lock:
            found = self._sums.pop(tensor, None)
        return f"{found[0]}:{found[1]:032x}" if found else ""


def find_chunk_length(digest: str) -> int:
    """The length in bytes of the chunks that a digest was made from; 0 if the text is no digest."""
    chunk, _, rest = digest.partition(":")
    return int(chunk) if chunk.isdecimal() and rest else 0


def _digest_chunk(begin: int, data: memoryview) -> int:
    from xxhash import xxh3_128_intdigest

    return xxh3_128_intdigest(data, seed=begin)
