"""Builds in parts write the same files as a build in one piece, whatever happens to single parts."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stacker.checkpoint import verify
from stacker.compose import Stack, build, load
from stacker.core.plan.parts import Part
from stacker.core.plan.plan_json import LOCK
from stacker.errors import LockedError, SpecError, StackerError, UnsafeError, VerifyError
from stacker.io.output.lock import lock_folder
from stacker.parts import build_part, commit_parts
from stacker.run import local
from stacker.run.building import BuildOptions
from stacker.upload import build_to_storage
from tests.donors import write_llama
from tests.gguf_donors import write_gguf

SPEC = """\
stacker: 1
name: tiny
donors:
  a: ./a
  b: ./b
stack:
  - a[0:4]
  - blend: [a[4:6], b[0:2]]
    op: slerp
    t: 0.3
  - slice: b[2:6]
    scale: {attn.o: 0.5}
output: {shard_size: 9000}
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with two donors and a spec of a stack of several shards."""
    write_llama(tmp_path / "a", seed=1, shards=3)
    write_llama(tmp_path / "b", seed=2)
    (tmp_path / "spec.yml").write_text(SPEC.replace("[a[4:6], b[0:2]]", "\n      - a[4:6]\n      - b[0:2]"))
    return tmp_path


@pytest.fixture
def stack(home: Path) -> Stack:
    """The stack of the spec."""
    return load(home / "spec.yml")


def files_of(folder: Path) -> dict[str, bytes]:
    """The bytes of all files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def write_parts(stack: Stack, out: Path, count: int) -> None:
    """Write all parts, the last first."""
    for number in range(count, 0, -1):
        build_part(stack, out, Part(number, count))


@pytest.mark.parametrize("count", [1, 2, 3, 40])
def test_parts_make_the_same_files(home: Path, stack: Stack, count: int) -> None:
    """However many parts there are, the output has the same files as a plain build, and nothing is left beside it."""
    stack.build(home / "whole")
    write_parts(stack, home / "out", count)
    commit_parts(home / "out")
    assert len(stack.plan().shards) > 3
    assert files_of(home / "out") == files_of(home / "whole")
    assert not verify(home / "out").problems
    assert sorted(path.name for path in home.iterdir()) == ["a", "b", "out", "spec.yml", "whole"]


def test_parts_of_different_counts_fit_together(home: Path, stack: Stack) -> None:
    """Parts of 2 and of 3 overlap, and the output is the same."""
    stack.build(home / "whole")
    for part in (Part(1, 2), Part(2, 3), Part(3, 3)):
        build_part(stack, home / "out", part)
    commit_parts(home / "out")
    assert files_of(home / "out") == files_of(home / "whole")


def test_a_part_that_is_written_twice_is_kept(home: Path, stack: Stack) -> None:
    """The second time, nothing is written."""
    first = build_part(stack, home / "out", Part(1, 2))
    before = {path: path.stat().st_mtime_ns for path in (home / "out.parts").rglob("*")}
    second = build_part(stack, home / "out", Part(1, 2))
    assert first.report
    assert second.report is None
    assert before == {path: path.stat().st_mtime_ns for path in (home / "out.parts").rglob("*")}


def test_missing_parts_are_named(home: Path, stack: Stack) -> None:
    """Closing an output whose second part is missing names its shards, and changes nothing."""
    build_part(stack, home / "out", Part(1, 2))
    before = files_of(home / "out.parts")
    missing = len(stack.plan().shards) - len(list((home / "out.parts").glob("0*/*.safetensors")))
    with pytest.raises(SpecError, match=f"{missing} of .* shards are not written: model-"):
        commit_parts(home / "out")
    assert files_of(home / "out.parts") == before
    assert not (home / "out").exists()


def test_no_parts_are_an_error(home: Path) -> None:
    """Closing an output without parts says how parts are written."""
    with pytest.raises(SpecError, match="there are no parts") as caught:
        commit_parts(home / "out")
    assert "--shards K/N" in caught.value.problems[0].hint
    assert not (home / "out.parts").exists()


@pytest.mark.parametrize("damage", ["cut", "header", "gone"])
def test_a_damaged_shard_is_found(home: Path, stack: Stack, damage: str) -> None:
    """A shard that was cut off, has another header or is gone is found, and its part can be written again."""
    stack.build(home / "whole")
    write_parts(stack, home / "out", 2)
    path = sorted((home / "out.parts").glob("0*/*.safetensors"))[1]
    data = path.read_bytes()
    if damage == "cut":
        path.write_bytes(data[:-1])
    elif damage == "header":
        path.write_bytes(data[:20] + b"x" + data[21:])
    else:
        path.unlink()
    with pytest.raises((VerifyError, SpecError)):
        commit_parts(home / "out")
    with pytest.raises(VerifyError, match="shard"):
        build_part(stack, home / "out", Part(1, 2))
    build_part(stack, home / "out", Part(1, 2), BuildOptions(restart=True))
    commit_parts(home / "out")
    assert files_of(home / "out") == files_of(home / "whole")


def test_another_plan_is_refused(home: Path, stack: Stack) -> None:
    """Parts of another spec do not go into the same folder."""
    build_part(stack, home / "out", Part(1, 2))
    (home / "spec.yml").write_text((home / "spec.yml").read_text().replace("0.3", "0.4"))
    with pytest.raises(SpecError, match="parts of another plan"):
        build_part(load(home / "spec.yml"), home / "out", Part(2, 2))


def test_a_part_that_is_being_written_is_locked(home: Path, stack: Stack) -> None:
    """Two processes do not write the same shards at once."""
    build_part(stack, home / "out", Part(1, 2))
    name = next(path.name for path in (home / "out.parts").glob("0*"))
    (home / "out.parts" / name).rename(home / "out.parts" / f"{name}.partial")
    with lock_folder(home / "out.parts" / f"{name}.partial"), pytest.raises(LockedError):
        build_part(stack, home / "out", Part(1, 2))


def test_an_interrupted_part_goes_on(home: Path, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an interrupt, the same command does only what is left of the part."""
    stack.build(home / "whole")
    with monkeypatch.context() as patch:
        left, do = iter(range(2)), local._do
        patch.setattr(local, "_do", lambda *task: do(*task) if next(left, None) is not None else _interrupt())
        with pytest.raises(KeyboardInterrupt):
            build_part(stack, home / "out", Part(1, 2), BuildOptions(workers=1))
    with pytest.raises(SpecError, match="begun, but not finished: 00001-"):
        commit_parts(home / "out")
    report = build_part(stack, home / "out", Part(1, 2)).report
    assert report
    assert report.kept
    build_part(stack, home / "out", Part(2, 2))
    commit_parts(home / "out")
    assert files_of(home / "out") == files_of(home / "whole")


def _interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("moves", [0, 1, 3])
def test_an_interrupted_commit_goes_on(home: Path, stack: Stack, monkeypatch: pytest.MonkeyPatch, moves: int) -> None:
    """A commit that ends while it moves shards is completed by the next."""
    stack.build(home / "whole")
    write_parts(stack, home / "out", 3)
    with monkeypatch.context() as patch:
        left, rename = iter(range(moves)), Path.rename
        patch.setattr(Path, "rename", lambda one, to: rename(one, to) if next(left, None) is not None else _interrupt())
        with pytest.raises(KeyboardInterrupt):
            commit_parts(home / "out")
    commit_parts(home / "out")
    assert files_of(home / "out") == files_of(home / "whole")


def test_digests_of_parts_come_into_the_lock_file(home: Path, stack: Stack) -> None:
    """With digests, the lock file of the parts is that of a whole build with digests."""
    stack.build(home / "whole", BuildOptions(digests=True))
    for number in (1, 2):
        build_part(stack, home / "out", Part(number, 2), BuildOptions(digests=True))
    commit_parts(home / "out")
    assert (home / "out" / LOCK).read_bytes() == (home / "whole" / LOCK).read_bytes()


def test_a_folder_that_others_can_write_is_refused(home: Path, stack: Stack) -> None:
    """Parts are not put where other users could change them."""
    (home / "out.parts").mkdir()
    (home / "out.parts").chmod(0o777)
    with pytest.raises(UnsafeError):
        build_part(stack, home / "out", Part(1, 2))


def test_commit_replaces_only_with_force(home: Path, stack: Stack) -> None:
    """A checkpoint at the output's place stays unless force is given."""
    stack.build(home / "whole")
    write_llama(home / "out", seed=5)
    write = BuildOptions(force=True)
    for number in (1, 2):
        build_part(stack, home / "out", Part(number, 2), write)
    with pytest.raises(SpecError, match="exists"):
        commit_parts(home / "out")
    commit_parts(home / "out", force=True)
    assert files_of(home / "out") == files_of(home / "whole")


@pytest.mark.slow
def test_processes_write_parts_at_once(home: Path, stack: Stack) -> None:
    """Four processes write three parts, one of them twice and one killed on the way; the files are the same."""
    stack.build(home / "whole")
    started = [_start(home, number) for number in (1, 2, 3, 1)]
    while not (home / "out.parts").exists() and started[1].poll() is None:
        time.sleep(0.01)
    started[1].kill()
    codes = [process.wait(timeout=300) for process in started]
    assert set(codes) <= {0, LockedError.exit_code, -signal.SIGKILL}
    for number in (1, 2, 3):
        assert _start(home, number).wait(timeout=300) == 0
    commit_parts(home / "out")
    assert files_of(home / "out") == files_of(home / "whole")


def _start(home: Path, number: int) -> subprocess.Popen[bytes]:
    words = ["build", "spec.yml", "out", "--quiet", "--shards", f"{number}/3"]
    return subprocess.Popen([sys.executable, "-m", "stacker", *words], cwd=home)


def test_errors_are_stackers(home: Path, stack: Stack) -> None:
    """A lock file of the parts that is damaged is an error that names it."""
    write_parts(stack, home / "out", 2)
    (home / "out.parts" / "checkpoint" / LOCK).write_text("{}")
    with pytest.raises(StackerError, match="lock file is damaged"):
        commit_parts(home / "out")


def test_a_gguf_stack_is_refused(tmp_path: Path) -> None:
    """A stack of GGUF files is one file, so it is neither written in parts, nor on a cluster, nor into storage."""
    write_gguf(tmp_path / "a.gguf")
    (tmp_path / "spec.yml").write_text('stacker: 1\nname: g\ndonors: {a: ./a.gguf}\nstack: ["a[0:2]"]\n')
    stack = load(tmp_path / "spec.yml")
    with pytest.raises(SpecError, match="in one piece"):
        build_part(stack, tmp_path / "out.gguf", Part(1, 2))
    with pytest.raises(SpecError, match="in one piece"):
        build(stack, tmp_path / "out.gguf", BuildOptions(executor="ray"))
    with pytest.raises(SpecError, match="in one piece"):
        build_to_storage(stack, "s3://bucket/out.gguf")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gguf", "spec.yml"]
