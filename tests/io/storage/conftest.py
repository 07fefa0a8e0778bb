"""An S3 server, and a folder whose donors are stored there too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stacker.io.ranges import connections, fetching, read_ahead
from stacker.io.storage import stores
from tests.donors import write_llama
from tests.storage_server import StorageServer, run_storage_server


@pytest.fixture(scope="module")
def server() -> Iterator[StorageServer]:
    """A server with an empty bucket."""
    pytest.importorskip("obstore")
    pytest.importorskip("moto")
    with run_storage_server() as server:
        yield server


@pytest.fixture
def home(tmp_path: Path, server: StorageServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two donors, one of them in shards, which are in the bucket too; waits and requests are small."""
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for module in (fetching, stores):
        monkeypatch.setattr(module, "PAUSES", (0.0, 0.0, 0.0))
    monkeypatch.setattr(read_ahead, "BLOCK_BYTES", 1 << 15)
    monkeypatch.setattr(connections, "CHUNK_BYTES", 1 << 15)
    monkeypatch.setattr(connections, "_PART_BYTES", 1 << 16)
    stores.open_store.cache_clear()
    stores.open_writing_store.cache_clear()
    server.fault = lambda _: None
    for name, seed, shards in (("first", 1, 3), ("second", 2, 1)):
        folder = write_llama(tmp_path / name, hidden=64, ffn=160, vocab=96, seed=seed, shards=shards)
        (folder / "tokenizer_config.json").write_text("{}")
        server.put_folder(folder, f"org/{name}")
    server.requests.clear()
    return tmp_path
