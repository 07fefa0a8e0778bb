"""Builds on a Ray cluster whose donors are in object storage that fails: the same bytes, or an error to go on from."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stacker.compose import build, load
from stacker.errors import StackerError
from stacker.io.donors.streaming import DonorAccess
from stacker.io.storage import stores
from stacker.run.building import BuildOptions
from tests.donors import write_llama
from tests.ray_cluster import run_cluster
from tests.storage_server import BUCKET, KEY, SECRET, Request, StorageServer, run_storage_server

pytest.importorskip("ray")
pytest.importorskip("obstore")
pytest.importorskip("moto")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

SPEC = """\
stacker: 1
name: tall
donors: {{a: {a}, b: {b}}}
stack:
  - a[0:6]
  - {{blend: ["a[2:6]", "b[2:6]"], op: slerp, t: 0.3}}
  - b[0:6]
output: {{shard_size: 500kB}}
"""
ON_RAY = BuildOptions(executor="ray", access=DonorAccess.STREAM)


@pytest.fixture(scope="module")
def server() -> Iterator[StorageServer]:
    """A storage server, whose address and credentials the workers find in their environment, as they do here."""
    with pytest.MonkeyPatch.context() as patch, run_storage_server() as server:
        for name, value in server.environment().items():
            patch.setenv(name, value)
        stores.open_store.cache_clear()
        yield server
        stores.open_store.cache_clear()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, server: StorageServer) -> Path:
    """A folder with two donors, which are stored too, specs for both places, and what a local build makes."""
    home = tmp_path_factory.mktemp("home")
    for seed, name in enumerate("ab"):
        folder = write_llama(home / name, hidden=128, ffn=320, heads=4, kv_heads=4, vocab=256, seed=seed)
        server.put_folder(folder, f"org/{name}")
    (home / "local.yml").write_text(SPEC.format(a="./a", b="./b"))
    (home / "stored.yml").write_text(SPEC.format(a=f"s3://{BUCKET}/org/a", b=f"s3://{BUCKET}/org/b"))
    load(home / "local.yml").build(home / "local")
    return home


@pytest.fixture(scope="module")
def cluster(server: StorageServer) -> Iterator[Any]:
    """A cluster that was started with the server's address and credentials."""
    del server
    with run_cluster() as cluster:
        yield cluster


def weights_of(folder: Path) -> dict[str, bytes]:
    """The shards of an output."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.safetensors"))}


class Disturbance:
    """Fails every third request for weights after the first `calm` ones, in several ways, at most `most` times."""

    def __init__(self, calm: int, most: int) -> None:
        self.calm, self.left, self.seen, self.lock = calm, most, 0, threading.Lock()

    def __call__(self, request: Request) -> int | str | None:
        if request.method != "GET" or ".safetensors" not in request.path:
            return None
        with self.lock:
            self.seen += 1
            if self.seen <= self.calm or self.seen % 3 or not self.left:
                return None
            self.left -= 1
            return (500, "cut", 503)[self.left % 3]


def test_requests_that_fail_are_repeated(home: Path, server: StorageServer, cluster: Any) -> None:
    """Requests of the workers that fail or end early cost nothing but time."""
    del cluster
    stack = load(home / "stored.yml")
    server.fault = disturbance = Disturbance(4, 12)
    built = build(stack, home / "disturbed", ON_RAY)
    server.fault = lambda _: None
    assert disturbance.left < 12
    assert len(built.plan.shards) > 8
    assert weights_of(home / "disturbed") == weights_of(home / "local")


def test_storage_that_is_gone_is_an_error_to_go_on_from(home: Path, server: StorageServer, cluster: Any) -> None:
    """Storage that refuses access half-way ends the build with an error; the same command goes on."""
    del cluster
    stack = load(home / "stored.yml")
    server.requests.clear()

    def refuse(request: Request) -> int | None:
        return 403 if ".safetensors" in request.path and len(server.requests) > 25 else None

    server.fault = refuse
    with pytest.raises(StackerError, match="refuses access") as caught:
        build(stack, home / "refused", ON_RAY)
    server.fault = lambda _: None
    assert not {KEY, SECRET} & set(repr(caught.value.problems).split())
    assert caught.value.exit_code == 3
    assert not (home / "refused").exists()
    assert build(stack, home / "refused", ON_RAY).report.kept
    assert weights_of(home / "refused") == weights_of(home / "local")


def test_a_cache_of_the_node_is_shared(
    home: Path, server: StorageServer, cluster: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With a cache on the node, every byte of the donors is requested once, but for headers; the bytes are the same."""
    del cluster
    monkeypatch.setenv("STACKER_CACHE_DIR", str(tmp_path / "near"))
    stack = load(home / "stored.yml")
    server.requests.clear()
    build(stack, home / "near", ON_RAY)
    assert weights_of(home / "near") == weights_of(home / "local")
    asked = [tuple(map(int, each.range.removeprefix("bytes=").split("-"))) for each in server.requests if each.range]
    donors = sum((home / name / "model.safetensors").stat().st_size for name in "ab")
    long = [end - begin + 1 for begin, end in asked if begin == 0 and end - begin > donors // 4]
    assert sum(long) == donors
