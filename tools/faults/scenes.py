"""What is built while it is disturbed: small stacks whose builds take every way through the program."""

from __future__ import annotations

import io
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, chdir, contextmanager, nullcontext, redirect_stderr
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from stacker.cli import main
from stacker.io.output.folder import Output
from stacker.run import local
from tests.donors import write_llama
from tests.gguf_donors import write_gguf
from tests.hub_server import HubServer, running_hub
from tests.tokenizers import write_tokenizer
from tools.faults.attempts import Place, clear, run

COPIES = """\
stacker: 1
name: copies
donors: {a: DONOR_A, b: DONOR_B}
stack: ["a[0:3]", "b[1:4]", "a[2:4]"]
output: {shard_size: 40kB}
"""
BLENDS = """\
stacker: 1
name: blends
donors: {a: DONOR_A, b: DONOR_B}
stack:
  - a[0:1]
  - {blend: ["a[1:3]", "b[1:3]"], op: slerp, t: [0.2, 0.8]}
  - {crossfade: ["a[0:2]", "b[1:4]"], over: 1, op: linear}
  - {repeat: "b[3:4]", times: 2, scale: {attn.o: 0.5, mlp.down: 0}}
  - {slice: "a[3:4]", hop: 0.8}
output: {shard_size: 60kB}
"""
FETCHED = """\
stacker: 1
name: fetched
donors: {a: DONOR_A}
stack: ["a[0:3]", "a[1:4]"]
output: {shard_size: 40kB}
"""
GGUF = """\
stacker: 1
name: parts
donors: {a: ./a.gguf, b: ./b.gguf}
stack:
  - a[0:2]
  - {blend: ["a[0:1]", "b[1:2]"], op: linear}
output: {shard_size: 1MB}
"""


def warm_up(folder: Path) -> None:
    """Build and verify once in this process, so that its children have all modules and compiled functions.

    Changes of the code during a run then have no effect on it.
    """
    write_donors(folder)
    (folder / "stack.yml").write_text(BLENDS.replace("DONOR_A", "./a").replace("DONOR_B", "./b"))
    (folder / "gguf.yml").write_text(GGUF)
    with chdir(folder), redirect_stderr(io.StringIO()):
        code = main(["build", "stack.yml", "out", "--workers", "1", "--digests"]) or main(["verify", "out"])
        code = code or main(["build", "gguf.yml", "out.gguf", "--workers", "1"])
    if code or threading.active_count() > 1:
        raise RuntimeError(f"the first build ends with {code} and {threading.active_count()} threads")


@dataclass(frozen=True, slots=True)
class Scene:
    """A build: its spec and further arguments, what is prepared before each attempt, and what surrounds them all."""

    name: str
    spec: str
    words: tuple[str, ...] = ()
    prepare: Callable[[Path], object] = clear
    around: Callable[[Path], AbstractContextManager[object]] = nullcontext
    out: str = "out"

    @property
    def command(self) -> tuple[str, ...]:
        return ("build", "stack.yml", self.out, "--workers", "1", *self.words)


def in_scene(scene: Scene, folder: Path, attempt: Callable[[Place], Iterable[str]]) -> list[str]:
    """What `attempt` finds at each attempt in a scene, which is put into `folder` for that time."""
    with open_scene(scene, folder) as place:
        found = list(attempt(place))
    shutil.rmtree(folder)
    return found


@contextmanager
def open_scene(scene: Scene, folder: Path) -> Iterator[Place]:
    """Write donors and spec to `folder`, build undisturbed, and yield the place with the right output."""
    write_donors(folder)
    record_often()
    with scene.around(folder):
        names = ("org/a", "org/b") if scene.around is on_a_hub else ("./a", "./b")
        spec = scene.spec.replace("DONOR_A", names[0]).replace("DONOR_B", names[1])
        (folder / "stack.yml").write_text(spec)
        place = Place(folder, scene.command, {}, name=scene.out)
        ended = run(folder, place.words)
        right = place.read_output()
        if ended.code or right is None:
            raise RuntimeError(f"the scene '{scene.name}' cannot be built:\n{ended.text}")
        scene.prepare(folder)
        yield replace(place, right=right, old=place.read_output())


def write_donors(folder: Path) -> None:
    """Write the donors a and b, each of two shards, with a tokenizer and a licence, and two of GGUF."""
    for seed, name in enumerate("ab"):
        donor = write_llama(folder / name, layers=4, hidden=32, ffn=64, vocab=24, seed=seed, shards=2)
        write_tokenizer(donor, ["x", "y"], ["z"])
        (donor / "LICENSE").write_text("Do what you like.\n")
        write_gguf(folder / f"{name}.gguf", layers=2, seed=seed)


def record_often() -> None:
    """Let builds record finished tasks so often that even small ones make several records."""
    local._RECORD = 0.002


def put_old_output(folder: Path) -> None:
    """Put a complete checkpoint of another stack where the output will be."""
    clear(folder)
    shutil.copytree(folder / "b", folder / "out")


def put_half_of_it(folder: Path) -> None:
    """Leave the work of a build that was killed in the middle."""
    clear(folder)
    kept = folder / "kept"
    if not kept.exists():
        run(folder, Scene("", "").command, partial(_end_after, 4))
        (folder / "out.partial").rename(kept)
    shutil.copytree(kept, folder / "out.partial")


def _end_after(count: int) -> None:
    """End this process when some tasks are recorded, and at least `count` are done."""
    do, record, done, recorded = local._do, Output.record, 0, False

    def record_slowly(self: Output, *words: Any, **options: Any) -> None:
        nonlocal recorded
        record(self, *words, **options)
        recorded = True

    def do_slowly(*words: Any) -> None:
        nonlocal done
        do(*words)
        done += 1
        while done >= count:
            if recorded:
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(0.001)

    local._do = do_slowly  # type: ignore[assignment]
    Output.record = record_slowly  # type: ignore[method-assign]


def clear_with_cache(folder: Path) -> None:
    """Delete the outputs and what was downloaded."""
    clear(folder)
    shutil.rmtree(folder / "cache", ignore_errors=True)


@contextmanager
def on_a_hub(folder: Path) -> Iterator[None]:
    """Serve the donors as `org/a` and `org/b` by another process, and let this one use it as its hub."""
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("fork").Process(target=_serve, args=(folder, theirs), daemon=True)
    server.start()
    endpoint = ours.recv()
    with pytest.MonkeyPatch.context() as patch, running_hub(folder / "cache", patch):
        from huggingface_hub import constants  # imported here for the children

        patch.setattr(constants, "ENDPOINT", endpoint)
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")
        yield
    server.terminate()
    server.join()


def _serve(folder: Path, answer: multiprocessing.connection.Connection) -> None:
    hub = HubServer(folder / "repositories")
    for name in "ab":
        hub.add(f"org/{name}", folder / name)
    answer.send(hub.endpoint)
    signal.pause()


SCENES = (
    Scene("copies", COPIES),
    Scene("blends", BLENDS),
    Scene("`--force` over a checkpoint", COPIES, ("--force",), put_old_output),
    Scene("resuming a killed build", COPIES, (), put_half_of_it),
    Scene("resuming killed blends", BLENDS, (), put_half_of_it),
    Scene("a donor from a hub", FETCHED, (), clear_with_cache, on_a_hub),
    Scene("digests in the lock file", COPIES, ("--digests",)),
    Scene("a donor read by ranges", FETCHED, ("--stream",), clear_with_cache, on_a_hub),
    Scene("a GGUF stack of two parts", GGUF, out="out.gguf"),
)
