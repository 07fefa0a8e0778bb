"""The output folder appears complete or not at all, and recorded work is resumed."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from stacker.core.plan.plan import Costs, Plan, Shard
from stacker.core.plan.shard_layout import Layout
from stacker.errors import LockedError, Severity, SpecError, StackerError, StorageError
from stacker.io.output import placing
from stacker.io.output.destination import FolderDestination
from stacker.io.output.folder import Output, open_output
from stacker.io.output.lock import lock_folder
from tests.io.images import tmpfs


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The path of the output."""
    return tmp_path / "out"


def plan_of(*shards: Shard, name: str = "plan") -> Plan:
    """A plan of these shards, without tensors."""
    return Plan(name, "x", {}, (), shards, Layout(), (), Costs(0, 0, 0, 0))


@contextmanager
def opened(
    out: Path, plan: str = "plan", force: bool = False, restart: bool = False, **summary: str
) -> Iterator[Output]:
    """Open an output of two shards to write."""
    shards = (shard("1.safetensors"), shard("2.safetensors"))
    with open_output(
        FolderDestination(out), plan_of(*shards, name=plan), summary, force=force, restart=restart
    ) as output:
        yield output


def shard(name: str, size: int = 5) -> Shard:
    """A shard of that many bytes, the first its header."""
    return Shard(name, b"h", size)


def write_shard(output: Output, name: str, letter: bytes, size: int = 5) -> None:
    """Write five bytes to a shard, over the header too."""
    with output.lease_shard(shard(name, size)) as writer:
        os.pwrite(writer.fd, letter * 5, 0)


def build(out: Path, **how: Any) -> frozenset[str]:
    """Write two shards and a text; returns the tasks that earlier runs had recorded."""
    with opened(out, **how) as output:
        for name, letter in (("1.safetensors", b"a"), ("2.safetensors", b"b")):
            write_shard(output, name, letter)
            output.record([name])
        output.write_texts({"config.json": b"{}"})
        output.commit()
        return output.done


def interrupted(out: Path, *tasks: str, **how: Any) -> None:
    """Write a shard, record these tasks, and interrupt the run."""
    with suppress(KeyboardInterrupt), opened(out, **how) as output:
        write_shard(output, "1.safetensors", b"a")
        if tasks:
            output.record(tasks)
        raise KeyboardInterrupt


def content(folder: Path) -> dict[str, bytes]:
    """The bytes of each file in a folder, by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


WHOLE = {"1.safetensors": b"aaaaa", "2.safetensors": b"bbbbb", "config.json": b"{}"}


def test_the_output_is_what_was_written(out: Path) -> None:
    """A committed output holds its files only: no journal, no partial folder."""
    assert build(out) == frozenset()
    assert content(out) == WHOLE
    assert list(out.parent.iterdir()) == [out]


def test_nothing_appears_before_the_commit(out: Path) -> None:
    """Until the commit, only `out.partial` exists."""
    with opened(out) as output:
        output.write_texts({"config.json": b"{}"})
        assert not out.exists()
        assert output.folder == out.with_name("out.partial")


def test_missing_parents_are_made_and_go_again(out: Path) -> None:
    """A run without recorded work removes the folders that it made."""
    deep = out / "a" / "b"
    interrupted(deep)
    assert not out.exists()
    build(deep)
    assert content(deep) == WHOLE


def test_files_are_readable_by_others(out: Path) -> None:
    """File modes follow the umask."""
    old = os.umask(0o022)
    try:
        build(out)
    finally:
        os.umask(old)
    assert {path.stat().st_mode & 0o777 for path in out.iterdir()} == {0o644}


def test_work_without_record_is_dropped(out: Path) -> None:
    """An interrupted run without recorded tasks leaves nothing."""
    interrupted(out)
    assert not list(out.parent.iterdir())


def test_recorded_work_is_resumed(out: Path) -> None:
    """A second run of the plan gets the recorded tasks, and the shard still has its bytes."""
    interrupted(out, "x", "y")
    with opened(out) as output:
        assert output.done == {"x", "y"}
        with output.lease_shard(shard("1.safetensors")) as writer:
            assert os.pread(writer.fd, 5, 0) == b"aaaaa"
    assert build(out) == {"x", "y"}
    assert content(out) == WHOLE


def test_another_plans_work_is_refused(out: Path) -> None:
    """Another plan's work is an error that says what differs; the work is kept."""
    interrupted(out, "x", layers="137", name="goliath")
    with (
        pytest.raises(SpecError, match=r"layers: 137 there, 120 now") as caught,
        opened(out, plan="other", layers="120", name="goliath"),
    ):
        pass
    assert "--restart" in str(caught.value)
    assert "goliath" not in str(caught.value)
    with opened(out, layers="137") as output:
        assert output.done == {"x"}


def test_restart_drops_the_work(out: Path) -> None:
    """`restart` deletes unfinished work of any plan."""
    interrupted(out, "x", "y")
    with opened(out, plan="other", restart=True) as output:
        assert output.done == frozenset()
        assert [path.name for path in output.folder.iterdir()] == [".journal"]


def test_a_strange_folder_is_not_emptied(out: Path) -> None:
    """`out.partial` with foreign files is refused, and emptied with `restart`."""
    strange = out.with_name("out.partial")
    (strange / "sub").mkdir(parents=True)
    (strange / "sub" / "thesis.tex").touch()
    with pytest.raises(SpecError, match="not the unfinished work of a build"):
        build(out)
    assert (strange / "sub" / "thesis.tex").exists()
    build(out, restart=True)
    assert content(out) == WHOLE


def test_an_output_that_exists_is_refused(out: Path) -> None:
    """An existing output is an error that names --force, and is left as it is."""
    build(out)
    (out / "config.json").write_bytes(b"old")
    with pytest.raises(SpecError, match="--force"):
        build(out)
    assert content(out)["config.json"] == b"old"


def test_an_empty_folder_is_no_output(out: Path) -> None:
    """An empty folder is replaced."""
    out.mkdir()
    build(out)
    assert content(out) == WHOLE


def test_force_spares_what_is_no_checkpoint(out: Path) -> None:
    """A folder without weights is not replaced, not even with `force`."""
    out.mkdir()
    (out / "thesis.tex").touch()
    with pytest.raises(SpecError, match="something else than a checkpoint"):
        build(out, force=True)
    assert content(out) == {"thesis.tex": b""}


@pytest.mark.parametrize("name", ["notes.txt", "runs/1.json", "adapter_model.safetensors", "model.py", ".git/config"])
def test_force_refuses_files_that_are_not_the_checkpoints(out: Path, name: str) -> None:
    """With `force`, a file beside the weights that no checkpoint consists of is named and kept."""
    out.mkdir()
    (out / name).parent.mkdir(exist_ok=True)
    for each in ("model.safetensors", name):
        (out / each).touch()
    with pytest.raises(SpecError, match=f"do not belong to the checkpoint: '{name}'"):
        build(out, force=True)
    assert (out / name).exists()
    assert (out / "model.safetensors").exists()


def test_force_refuses_links_to_folders(out: Path) -> None:
    """With `force`, a link to a folder beside the weights is named and kept."""
    out.mkdir()
    (out / "model.safetensors").touch()
    (out / "data").symlink_to(out.parent)
    with pytest.raises(SpecError, match="do not belong to the checkpoint: 'data'"):
        build(out, force=True)
    assert (out / "data").is_symlink()


def test_a_name_that_cannot_be_synced_keeps_what_was_replaced(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the output's folder cannot be synced, the journal and the replaced folder stay, and a warning says so."""
    out.mkdir()
    (out / "model.safetensors").touch()
    whole = placing.sync_folder

    def failing(folder: Path) -> None:
        if folder == out.parent:
            raise OSError(5, "Input/output error")
        whole(folder)

    with opened(out, force=True) as output:
        output.record(["x"])
        monkeypatch.setattr(placing, "sync_folder", failing)
        (warning,) = output.commit()
    assert "the output is complete, but stacker could not make sure" in warning.message
    assert warning.hint.startswith("the folder that it replaced is kept: out.replaced-")
    assert (out / ".journal").exists()


def test_files_added_during_the_build_are_kept(out: Path) -> None:
    """With `force`, a folder to which a file was added during the build is kept, and a warning names the file."""
    out.mkdir()
    (out / "model.safetensors").touch()
    with opened(out, force=True) as output:
        output.record(["x"])
        (out / "notes.txt").write_text("mine")
        (warning,) = output.commit()
    assert "is kept, because it holds 'notes.txt'" in warning.message
    assert warning.severity is Severity.WARNING
    assert warning.mark is not None
    assert content(Path(str(warning.mark))) == {"model.safetensors": b"", "notes.txt": b"mine"}


@pytest.mark.parametrize("exchange", [True, False], ids=["exchange", "two renames"])
def test_force_replaces_at_the_end(out: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool) -> None:
    """With `force` the old output exists until the new one is complete."""
    if not exchange:
        monkeypatch.setattr(placing, "_exchange_folders", lambda *_: False)
    out.mkdir()
    (out / "model.safetensors").touch()
    interrupted(out, force=True)
    assert content(out) == {"model.safetensors": b""}
    build(out, force=True)
    assert content(out) == WHOLE
    assert list(out.parent.iterdir()) == [out]


def test_a_failed_replacement_is_taken_back(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the second of two renames fails, the old output is moved back and the work is kept."""
    out.mkdir()
    (out / "model.safetensors").touch()
    whole = Path.rename

    def failing(path: Path, target: Path) -> Path:
        if path.name == "out.partial":
            raise PermissionError(13, "Permission denied")
        return whole(path, target)

    monkeypatch.setattr(placing, "_exchange_folders", lambda *_: False)
    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(StorageError, match="Permission denied"):
        build(out, force=True)
    monkeypatch.undo()
    assert content(out) == {"model.safetensors": b""}
    assert build(out, force=True) == {"1.safetensors", "2.safetensors"}


@pytest.mark.parametrize("force", [True, False])
@pytest.mark.parametrize("kind", ["file", "link", "dangling link"])
def test_files_and_links_are_never_replaced(out: Path, kind: str, force: bool) -> None:
    """An output path that is a file or a link is refused, with and without `force`."""
    other = out.with_name("other")
    if kind == "file":
        out.touch()
    else:
        out.symlink_to(other)
    if kind == "link":
        other.mkdir()
    with pytest.raises(SpecError, match=r"the output is a (link|file)"):
        build(out, force=force)
    assert sorted(out.parent.iterdir()) == sorted({out, *([other] if kind == "link" else [])})


@pytest.mark.parametrize("place", ["/", "/.."])
def test_the_root_is_no_output(place: str) -> None:
    """The root folder is refused."""
    with pytest.raises(SpecError, match="cannot be the output"):
        build(Path(place))


def test_two_writers(out: Path) -> None:
    """A second writer gets a LockedError with the process id of the first, and changes nothing."""
    with opened(out) as output:
        output.record(["x"])
        with pytest.raises(LockedError, match=rf"process {os.getpid()}"):
            build(out, restart=True)
        assert (output.folder / ".journal").exists()


def test_an_output_that_appears_meanwhile_is_not_overwritten(out: Path) -> None:
    """An output that appears just before the commit is kept, and so is the work."""
    with opened(out) as output:
        output.record(["x"])
        out.mkdir()
        (out / "precious").touch()
        with pytest.raises(StorageError, match="not empty"):
            output.commit()
    assert content(out) == {"precious": b""}
    assert out.with_name("out.partial").is_dir()


def test_a_full_disk_is_explained_and_leaves_the_recorded_work(tmp_path: Path) -> None:
    """ENOSPC is an error that names the free bytes; work recorded before is resumed."""
    with tmpfs(tmp_path) as place:
        with opened(place / "out") as output:
            output.write_texts({"a": bytes(500_000)})
            output.record(["a"])
            with pytest.raises(StorageError, match=r"No space left on device \([\d,]+ bytes are free\)"):
                output.write_texts({"b": bytes(900_000)})
        with opened(place / "out") as output:
            assert output.done == {"a"}
        assert not (place / "out").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
def test_a_read_only_disk_is_explained(tmp_path: Path) -> None:
    """A read-only disk is a StorageError with a hint."""
    with tmpfs(tmp_path) as place:
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        with pytest.raises(StorageError, match="choose another output folder"):
            build(place / "out")


def test_a_name_that_is_too_long_is_explained(tmp_path: Path) -> None:
    """A name that the filesystem refuses is a StorageError with a hint."""
    with pytest.raises(StorageError, match="shorter name"):
        build(tmp_path / ("x" * 250))


def test_a_limit_on_file_sizes_is_explained(out: Path) -> None:
    """A file size limit is an error that names `shard_size`, and leaves no descriptor open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with opened(out) as output:
        before = len(list(Path("/proc/self/fd").iterdir()))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
        try:
            with pytest.raises(StorageError, match="shard_size"):
                write_shard(output, "1.safetensors", b"a", size=2 << 20)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_after_a_failed_sync_nothing_is_recorded(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel reports lost writes only once: after a failed sync, later ones are not trusted."""
    whole = os.fdatasync

    def failing(_: int) -> None:
        raise OSError(5, "Input/output error")

    with opened(out) as output:
        write_shard(output, "1.safetensors", b"a")
        output.record(["x"])
        monkeypatch.setattr(os, "fdatasync", failing)
        with pytest.raises(StorageError, match="dmesg"):
            output.record(["y"])
        monkeypatch.setattr(os, "fdatasync", whole)
        with pytest.raises(StorageError, match="earlier write failed"):
            output.record(["y"])
        with pytest.raises(StorageError, match="earlier write failed"):
            output.commit()
    with opened(out) as output:
        assert output.done == {"x"}


def test_an_error_inside_comes_out(out: Path) -> None:
    """An error raised inside the block is raised unchanged."""
    with pytest.raises(StackerError, match="mine"), opened(out):
        raise StackerError.of("mine")


def test_a_lock_that_cannot_be_closed_is_no_error(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the renaming, an EIO from closing the locked folder leaves a complete output, a success, and no lock."""
    close = os.close
    failed: list[bool] = []

    def close_and_fail(fd: int) -> None:
        close(fd)
        if fd == locked:
            failed.append(out.exists())
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with opened(out) as output:
        for name in ("1.safetensors", "2.safetensors"):
            write_shard(output, name, b"a")
        locked = output._folder_lock.fd
        output.commit()
        monkeypatch.setattr(os, "close", close_and_fail)
    monkeypatch.undo()
    assert failed == [True]
    assert content(out) == {"1.safetensors": b"aaaaa", "2.safetensors": b"aaaaa"}
    with lock_folder(out):
        pass
