"""Builds on a Ray cluster of three node processes write the same bytes as local ones, whatever is killed meanwhile."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stacker.checkpoint import verify
from stacker.compose import Stack, build, load
from stacker.errors import DonorError, SpecError
from stacker.run.building import BuildOptions, Listener
from tests.donors import write_llama
from tests.ray_cluster import kill_worker, run_cluster

pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

SPEC = """\
stacker: 1
name: tall
donors: {a: ./a, b: ./b}
stack:
  - a[0:6]
  - blend:
      - a[2:6]
      - b[2:6]
    op: ties
    base: a[2:6]
    weight: 0.5
    density: 0.6
  - slice: b[0:6]
    scale: {attn.o: 0.5}
  - a[0:6]
output: {shard_size: 1MB}
"""
ON_RAY = BuildOptions(executor="ray")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two donors, a spec, and what a local build makes of it."""
    home = tmp_path_factory.mktemp("cluster")
    for seed, name in enumerate("ab"):
        write_llama(home / name, hidden=256, ffn=512, heads=4, kv_heads=4, vocab=512, seed=seed)
    (home / "spec.yml").write_text(SPEC)
    load(home / "spec.yml").build(home / "local")
    return home


@pytest.fixture
def stack(home: Path) -> Stack:
    """The stack of the spec."""
    return load(home / "spec.yml")


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A cluster of three node processes."""
    with run_cluster() as cluster:
        yield cluster


def files_of(folder: Path) -> dict[str, bytes]:
    """The bytes of all files of a folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def after_shards(count: int, act: Callable[[], object]) -> Listener:
    """A listener that calls `act` once, when about `count` shards are written."""
    calls: list[int] = []

    def watch(done: int, total: int) -> None:
        del total
        calls.append(done)
        if len(calls) == count + 1:
            act()

    return Listener(watch)


def test_the_cluster_writes_the_same_bytes(home: Path, stack: Stack, cluster: Any) -> None:
    """With a node, a worker and the driver killed half-way, the output has the same files as a local build."""

    def kill() -> None:
        cluster.remove_node(cluster.workers[0], allow_graceful=False)

    built = build(stack, home / "lost", ON_RAY, after_shards(3, kill))
    assert files_of(home / "lost") == files_of(home / "local")
    assert len(built.plan.shards) > 8
    _kill_a_worker(stack, home)
    assert files_of(home / "worker") == files_of(home / "local")
    _kill_the_driver(stack, home)
    assert files_of(home / "driver") == files_of(home / "local")
    assert not verify(home / "driver").problems
    assert not [path.name for path in home.iterdir() if path.name.endswith((".parts", ".partial"))]
    _refuse(home)


def _kill_a_worker(stack: Stack, home: Path) -> None:
    """Build while the process of a worker is killed."""
    build(stack, home / "worker", ON_RAY, after_shards(2, lambda: kill_worker("_write")))


def _kill_the_driver(stack: Stack, home: Path) -> None:
    """Kill the program that builds when it has a part of the shards; the same command goes on from there."""
    words = [sys.executable, "-m", "stacker", "build", "spec.yml", "driver", "--executor", "ray", "--quiet"]
    driver = subprocess.Popen(words, cwd=home)
    written = home / "driver.partial"
    deadline = time.monotonic() + 200
    while len(list(written.glob("*.safetensors"))) < 3 and time.monotonic() < deadline and driver.poll() is None:
        time.sleep(0.02)
    assert driver.poll() is None, "the driver ended before it could be killed"
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert len(list(written.glob("*.safetensors"))) < len(stack.plan().shards)
    assert build(stack, home / "driver", ON_RAY).report.kept


def _refuse(home: Path) -> None:
    """A donor that changed after planning, and a shard that no node can write, are errors."""
    write_llama(home / "c", hidden=256, ffn=512, heads=4, kv_heads=4, vocab=512, seed=7)
    (home / "other.yml").write_text(SPEC.replace("./b", "./c"))
    stack = load(home / "other.yml")
    with pytest.raises(SpecError, match="no node of the cluster has what a shard needs"):
        build(stack, home / "other", BuildOptions(executor="ray", workers=64))
    path = home / "c" / "model.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + b"x")
    with pytest.raises(DonorError, match="written to"):
        build(stack, home / "other", ON_RAY)
