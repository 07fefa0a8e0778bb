"""Reads donors' files from servers with several requests at once: long ranges as they arrive, others by blocks.

Blocks are read ahead in the order in which a build needs them, and few are kept in memory.
"""

from __future__ import annotations

import mmap
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager

from stacker.core.plan.tasks import Task, find_donor_files
from stacker.core.values.donor import DonorFile
from stacker.io.disk.direct import DIRECT_ALIGNMENT
from stacker.io.ranges.fetching import fetch_range
from stacker.io.ranges.read_ahead import BLOCK_BYTES, Block, find_blocks, group_by_file, is_streamed
from stacker.io.ranges.remote_file import RemoteFile

REQUESTS_AT_ONCE = 8
CHUNK_BYTES = 1 << 21
"""How many bytes of a long range are collected before they are passed on."""
_PART_BYTES = 8 * CHUNK_BYTES
"""The most bytes of a long range that one request asks for."""
_AHEAD = 8
"""How many blocks are read ahead of the one that is needed."""
_HELD = 24
"""The most blocks that are kept or on their way, for one reading thread more or less."""
Lease = Callable[[DonorFile], AbstractContextManager[RemoteFile]]
"""Provides an open file for the length of a `with` block."""
Consume = Callable[[int, memoryview], None]
"""A function of an offset within a range and the bytes from there on, which it must not keep."""


def count_buffers(tasks: Iterable[Task]) -> int:
    """The most bytes that are held for reading the donors' files of the tasks from servers; 0 if none is read so."""
    streamed = any(is_streamed(file) for task in tasks for file in find_donor_files(task))
    return _HELD * BLOCK_BYTES + REQUESTS_AT_ONCE * CHUNK_BYTES if streamed else 0


class Connections:
    """Reads files that `lease` opens; `expected` has the blocks that will be needed, in this order.

    Any number of threads may call the methods. Setting `stop` ends all reading with DonorErrors.
    """

    def __init__(self, lease: Lease, expected: Iterable[Block], stop: threading.Event) -> None:
        self._lease = lease
        self._order: Sequence[Block] = tuple(expected)
        self._positions = {block: number for number, block in enumerate(self._order)}
        self._blocks = group_by_file(self._order)
        self._held: OrderedDict[Block, Future[bytearray]] = OrderedDict()
        self._lock = threading.Lock()
        self._stop = stop
        self._pool = ThreadPoolExecutor(REQUESTS_AT_ONCE, thread_name_prefix="ranges")
        self._own = threading.local()

    def close(self) -> None:
        """End all requests; the caller must ensure that no thread still waits for bytes."""
        self._stop.set()
        self._pool.shutdown(cancel_futures=True)

    def stream(self, file: DonorFile, begin: int, nbytes: int, consume: Consume, residue: int) -> None:
        """Pass `nbytes` bytes of a file from `begin` on to `consume`, in chunks of CHUNK_BYTES and in any order.

        Several threads call `consume` at once. Where a long range is read, the memory address of its first byte has the
        remainder `residue` modulo DIRECT_ALIGNMENT, and so on for the others. An exception of `consume` ends reading.
        """
        if find_blocks(self._blocks.get(file, ()), Block(file, begin, begin + 1)) and nbytes <= CHUNK_BYTES:
            data = memoryview(bytearray(nbytes))
            self.read_into(file, data, begin)
            consume(0, data)
            return
        parts = [
            Block(file, at, min(at + _PART_BYTES, begin + nbytes)) for at in range(begin, begin + nbytes, _PART_BYTES)
        ]
        futures = [self._pool.submit(self._stream_part, part, begin, consume, residue) for part in parts]
        try:
            for future in futures:
                future.result()
        finally:
            for future in futures:
                future.cancel()
            wait(futures)  # none may write after this

    def _stream_part(self, part: Block, origin: int, consume: Consume, residue: int) -> None:
        """Pass the bytes of a part to `consume`, with their offsets from `origin`."""
        buffer = self._buffer()[residue : residue + CHUNK_BYTES]
        at, filled = part.begin, 0
        with self._lease(part.file) as remote:
            for piece in fetch_range(remote, part.begin, part.end, self._stop):
                rest = memoryview(piece)
                while rest:
                    count = min(len(rest), len(buffer) - filled, part.end - at - filled)
                    buffer[filled : filled + count] = rest[:count]
                    filled, rest = filled + count, rest[count:]
                    if filled == len(buffer) or at + filled == part.end:
                        consume(at - origin, buffer[:filled])
                        at, filled = at + filled, 0

    def _buffer(self) -> memoryview:
        """The calling thread's memory for a chunk, which starts at a page."""
        found: memoryview | None = getattr(self._own, "buffer", None)
        if found is None:
            found = self._own.buffer = memoryview(mmap.mmap(-1, CHUNK_BYTES + DIRECT_ALIGNMENT))
        return found

    def read_into(self, file: DonorFile, view: memoryview, offset: int) -> None:
        """Fill `view` with the bytes of a file from `offset` on; DonorError when that fails."""
        while view:
            block = self._find_block(file, offset, len(view))
            data = memoryview(self._hold(block).result())[offset - block.begin : offset - block.begin + len(view)]
            view[: len(data)] = data
            view, offset = view[len(data) :], offset + len(data)

    def _find_block(self, file: DonorFile, offset: int, nbytes: int) -> Block:
        """The block with the byte at `offset`, or a new one of at most `nbytes` bytes if none was expected there."""
        known = self._blocks.get(file, ())
        found = find_blocks(known, Block(file, offset, offset + 1))
        if found:
            return found[0]
        later = (block.begin for block in find_blocks(known, Block(file, offset, offset + nbytes)))
        return Block(file, offset, min(offset + min(nbytes, CHUNK_BYTES), next(later, offset + nbytes)))

    def _hold(self, block: Block) -> Future[bytearray]:
        """Request a block that is not held, and those that follow it in the expected order."""
        with self._lock:
            wanted = self._request(block)
            position = self._positions.get(block)
            if position is not None:
                for ahead in self._order[position + 1 : position + 1 + _AHEAD]:
                    self._request(ahead)
            for old in list(self._held):
                if len(self._held) <= _HELD:
                    break
                if old != block and self._held[old].done():
                    del self._held[old]
            return wanted

    def _request(self, block: Block) -> Future[bytearray]:
        future = self._held.get(block)
        if future is None:
            future = self._held[block] = self._pool.submit(self._fetch, block)
        self._held.move_to_end(block)
        return future

    def _fetch(self, block: Block) -> bytearray:
        data = bytearray()
        with self._lease(block.file) as remote:
            for piece in fetch_range(remote, block.begin, block.end, self._stop):
                data += piece
        return data
