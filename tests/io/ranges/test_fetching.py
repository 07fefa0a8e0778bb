"""Reading a range to its end: what arrived is kept, and every wait is limited."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from stacker.errors import DonorError, StackerError
from stacker.formats.safetensors import RemoteStamp
from stacker.io.ranges import fetching
from stacker.io.ranges.fetching import fetch_range

DATA = bytes(range(256)) * 4096


@dataclass
class Server:
    """A file of DATA; `send` makes the pieces of a response from the number of the request and the bytes asked for."""

    send: Callable[[int, bytes], Iterator[bytes]]
    asked: list[tuple[int, int]] = field(default_factory=list)
    source: str = "hf://test"
    stamp: RemoteStamp = RemoteStamp("1", len(DATA))  # noqa: RUF009 - frozen

    def read(self, begin: int, end: int) -> Iterator[bytes]:
        self.asked.append((begin, end))
        return self.send(len(self.asked), DATA[begin:end])

    def find_pause(self, error: Exception) -> float | None:
        return 3600.0 if isinstance(error, OSError) else None

    def explain(self, error: Exception) -> StackerError:
        return DonorError.of(f"it failed: {error}")


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits long between requests, even if the server asks for an hour."""
    monkeypatch.setattr(fetching, "PAUSES", (0.0, 0.0, 0.0))
    monkeypatch.setattr(fetching, "LONGEST_PAUSE", 0.01)


def fetch(server: Server, begin: int = 0, end: int = len(DATA)) -> bytes:
    return b"".join(fetch_range(server, begin, end, threading.Event()))


def cut(_number: int, data: bytes) -> Iterator[bytes]:
    """Half of what is asked for, then an error."""
    yield data[: len(data) // 2]
    raise OSError("cut")


def half(_number: int, data: bytes) -> Iterator[bytes]:
    """Half of what is asked for, as if it were all."""
    yield data[: -(-len(data) // 2)]


def test_the_rest_is_asked_for() -> None:
    """After a failure, only the bytes that did not arrive are requested."""
    server = Server(lambda number, data: cut(number, data) if number == 1 else iter([data]))
    assert fetch(server, 10, 1000) == DATA[10:1000]
    assert server.asked == [(10, 1000), (505, 1000)]


def test_progress_is_no_failure_in_a_row() -> None:
    """A server that cuts every response after a lot of bytes is not given up, one that brings few is."""
    assert fetch(Server(lambda _number, data: iter([data[:262144]]))) == DATA
    with pytest.raises(DonorError, match="its responses end early"):
        fetch(Server(half), 0, 100_000)


def test_a_slow_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that sends a byte now and then, so that no single wait is long, is given up all the same."""
    monkeypatch.setattr(fetching, "GRACE", 0.05)

    def drip(_number: int, data: bytes) -> Iterator[bytes]:
        for byte in data:
            time.sleep(0.02)
            yield bytes([byte])

    with pytest.raises(DonorError, match="fewer than 50 kB in a second"):
        fetch(Server(drip), 0, 1000)


def test_other_errors_are_not_repeated() -> None:
    """An error for which the server's client knows no pause ends reading at once, with its explanation."""

    def refuse(_number: int, data: bytes) -> Iterator[bytes]:
        yield data[:1]
        raise ValueError("no")

    server = Server(refuse)
    with pytest.raises(DonorError, match="it failed: no"):
        fetch(server)
    assert len(server.asked) == 1


def test_reading_stops_when_asked() -> None:
    """Once the build is stopped, no more is read, and no more is requested."""
    stop = threading.Event()
    pieces = fetch_range(Server(lambda _number, data: iter([data[:10], data[10:]])), 0, 1000, stop)
    next(pieces)
    stop.set()
    with pytest.raises(DonorError, match="stopped"):
        next(pieces)
