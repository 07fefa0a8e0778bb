"""Attacks on interrupted builds: what a later run takes up is right, or is refused, or is written again and said."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.interrupted import (
    KILL,
    SPEC,
    assert_made_from_donors,
    build,
    build_with,
    overwrite,
    stacker,
    write_stack,
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with two donors, a spec, and a build that was killed after nine tasks."""
    write_stack(tmp_path)
    killed = build_with(KILL, tmp_path)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (tmp_path / "out").exists()
    return tmp_path


@pytest.fixture
def partial(home: Path) -> Path:
    """The unfinished work."""
    return home / "out.partial"


def _kept(home: Path, *words: str) -> int:
    """Build with a JSON report, check the output, and return how many bytes were kept of the earlier run."""
    done = build(home, "--json", *words)
    assert done.returncode == 0, done.stderr
    assert_made_from_donors(home)
    assert stacker(home, "verify", "out").returncode == 0
    return int(json.loads(done.stdout)["kept"])


def test_a_killed_build_is_resumed(home: Path) -> None:
    """Without an attack, the next run keeps what was done, without a word about writing it again."""
    done = build(home, "--json")
    assert json.loads(done.stdout)["kept"] > 0
    assert "again" not in done.stderr
    assert_made_from_donors(home)


@pytest.mark.parametrize("keep_mtime", [False, True], ids=["new mtime", "mtime put back"])
@pytest.mark.parametrize("names", ["a", "b", "ab"])
def test_donors_overwritten_between_kill_and_resume(home: Path, names: str, keep_mtime: bool) -> None:
    """Shards made from a donor that was overwritten in place are written again, and that is said."""
    for name in names:
        overwrite(home / name / "model.safetensors", keep_mtime=keep_mtime)
    done = build(home)
    assert done.returncode == 0, done.stderr
    assert_made_from_donors(home)
    said = [line for line in done.stderr.splitlines() if "written again" in line]
    assert said, done.stderr
    assert all("has changed since" in line for line in said)


def test_donors_that_exchange_their_folders(home: Path) -> None:
    """Two donors of the same shape that exchange their folders are other donors."""
    (home / "a").rename(home / "c")
    (home / "b").rename(home / "a")
    (home / "c").rename(home / "b")
    _kept(home)


_PUT_BACK = """
path = Path("a/model.safetensors")
if number == 1:
    local._RECORD = 60
if number == 3:
    whole, status = path.read_bytes(), path.stat()
    with path.open("r+b") as file:
        file.seek(8 + int.from_bytes(whole[:8], "little"))
        file.write(bytes(len(whole) - file.tell()))
if number == 12:
    with path.open("r+b") as file:
        file.write(whole)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
"""


def test_a_donor_written_while_read_and_put_back(tmp_path: Path) -> None:
    """The build that reads the other bytes fails, and the next one does not take them up."""
    write_stack(tmp_path)
    first = build_with(_PUT_BACK, tmp_path)
    assert first.returncode == 3, first.stderr
    assert "changed since it was planned" in first.stderr
    assert not (tmp_path / "out").exists()
    _kept(tmp_path)


@pytest.mark.parametrize("place", ["first byte", "middle", "last byte", "header"])
@pytest.mark.parametrize("damage", ["flipped", "zeroed", "cut", "gone"])
def test_a_damaged_shard_is_written_again(home: Path, partial: Path, damage: str, place: str) -> None:
    """A bit flipped or zeroed in a finished shard, or a shard that is gone, is found when the build is resumed."""
    first = min(partial.glob("*.safetensors"))
    whole = bytearray(first.read_bytes())
    start = 8 + int.from_bytes(whole[:8], "little")
    offset = {"first byte": start, "middle": (start + len(whole)) // 2, "last byte": len(whole) - 1, "header": 20}[
        place
    ]
    if damage == "gone":
        first.unlink()
    elif damage == "cut":
        os.truncate(first, offset)
    else:
        change = bytes([whole[offset] ^ 1]) if damage == "flipped" else bytes(64)
        with first.open("r+b") as file:
            file.seek(offset)
            file.write(change[: len(whole) - offset])
    done = build(home)
    assert done.returncode == 0, done.stderr
    assert_made_from_donors(home)
    assert whole[offset : offset + 64].strip(b"\0") == b"" or "shards is written again" in done.stderr


def test_a_lost_journal_begins_anew(home: Path, partial: Path) -> None:
    """Without its journal, the unfinished work of this plan is written again."""
    (partial / ".journal").unlink()
    assert _kept(home) == 0


@pytest.mark.parametrize("length", [0, 5, 20, 100])
def test_a_torn_journal_begins_anew(home: Path, partial: Path, length: int) -> None:
    """A journal that is cut off in its first line is as good as none."""
    os.truncate(partial / ".journal", length)
    assert _kept(home) == 0


def test_a_zeroed_journal_begins_anew(home: Path, partial: Path) -> None:
    """A journal of zeros, as some filesystems leave after a power cut, is as good as none."""
    path = partial / ".journal"
    path.write_bytes(bytes(path.stat().st_size))
    assert _kept(home) == 0


@pytest.mark.parametrize("journal", ["junk", "none", "real"])
def test_files_of_somebody_are_not_deleted(home: Path, partial: Path, journal: str) -> None:
    """A folder with a file that no build made is refused by name, whatever its journal says."""
    if journal == "junk":
        (partial / ".journal").write_text("dear diary\n")
    elif journal == "none":
        (partial / ".journal").unlink()
    (partial / "thesis.tex").write_text("precious")
    before = {path.name: path.read_bytes() for path in partial.iterdir()}
    done = build(home)
    assert done.returncode == 2
    assert "thesis.tex" in done.stderr or ".journal" in done.stderr
    assert "--restart" in done.stderr
    assert {path.name: path.read_bytes() for path in partial.iterdir()} == before
    assert _kept(home, "--restart") == 0


def test_another_checkpoint_in_its_place_is_not_deleted(home: Path, partial: Path) -> None:
    """A checkpoint of other tensors at OUT.partial, with the names of shards, is not taken for unfinished work."""
    names = [path.name for path in partial.glob("*.safetensors")]
    shutil.rmtree(partial)
    partial.mkdir(mode=0o755)
    for name in names:
        shutil.copy(home / "a" / "model.safetensors", partial / name)
    done = build(home)
    assert done.returncode == 2, done.stderr
    assert sorted(path.name for path in partial.iterdir()) == sorted(names)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
@pytest.mark.parametrize("given", [".", ".journal", "model-00001-of-*.safetensors"], ids=["folder", "journal", "shard"])
def test_planted_work_of_another_user_is_refused(home: Path, partial: Path, given: str) -> None:
    """Unfinished work that another user owns, as a whole or in part, is refused by name with what to do."""
    (path,) = [partial] if given == "." else partial.glob(given)
    os.chown(path, 65534, 65534)
    done = build(home)
    assert done.returncode == 4, done.stderr
    assert str(path) in done.stderr
    assert "another user" in done.stderr
    assert "--restart" in done.stderr
    assert not (home / "out").exists()
    assert _kept(home, "--restart") == 0


@pytest.mark.parametrize("mode", [0o775, 0o777, 0o757])
@pytest.mark.parametrize("given", [".", ".journal"], ids=["folder", "journal"])
def test_planted_work_that_others_can_write_is_refused(home: Path, partial: Path, given: str, mode: int) -> None:
    """Unfinished work that the group or everybody may write is refused; the umask never makes it so."""
    (partial / given).chmod(mode)
    done = build(home)
    assert done.returncode == 4, done.stderr
    assert "can be written by other users" in done.stderr
    assert _kept(home, "--restart") == 0


def test_the_umask_does_not_open_the_work_to_others(tmp_path: Path) -> None:
    """With the umask 0, the unfinished work can still be written by its user only, and is resumed."""
    write_stack(tmp_path)
    killed = build_with("os.umask(0) if number == 1 else None\n" + KILL, tmp_path)
    assert killed.returncode == -signal.SIGKILL
    old = os.umask(0)
    try:
        assert _kept(tmp_path) > 0
    finally:
        os.umask(old)
    assert not (tmp_path / "out").stat().st_mode & 0o022


_CLEAN_UP = """
if number == 1:
    from stacker.io.output.folder import Output
    Output.record, unlink, left = lambda *_, **__: None, Path.unlink, {left}
    def unlink_or_end(path):
        global left
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        unlink(path)
    Path.unlink = unlink_or_end
if number == 12:
    raise OSError(28, "No space left on device")
"""


@pytest.mark.parametrize("left", range(5))
def test_a_killed_clean_up_does_not_block_the_next_build(tmp_path: Path, left: int) -> None:
    """A run that fails before it records anything, and is killed while it removes its work, blocks no later run."""
    write_stack(tmp_path)
    killed = build_with(_CLEAN_UP.format(left=left), tmp_path)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert (tmp_path / "out.partial").exists()
    assert _kept(tmp_path) == 0


_DIRTY_END = """
if number == 1:
    from stacker.io.output import placing
    def fail(*_, **__):
        raise OSError(5, "Input/output error")
    placing.{name} = fail
"""


@pytest.mark.parametrize("name", ["sync_folder", "shutil.rmtree", "Path.unlink"])
def test_a_failure_after_the_renaming_says_that_the_output_is_complete(tmp_path: Path, name: str) -> None:
    """Once the output has its name, a failed sync or clean-up is a warning that says so, and the exit code is 0."""
    write_stack(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model.safetensors").touch()
    done = build_with(_DIRTY_END.format(name=name), tmp_path, "--force")
    assert done.returncode == 0, done.stderr
    assert "warning: the output is complete, but stacker could not" in done.stderr
    assert "Input/output error" in done.stderr
    assert_made_from_donors(tmp_path)


_SIGNAL_AT_THE_END = """
if number == 1:
    from stacker.io.output import placing
    placing._delete_replaced = lambda _: os.kill(os.getpid(), signal.SIGINT)
"""


def test_a_signal_after_the_renaming_says_that_the_output_is_complete(tmp_path: Path) -> None:
    """Ctrl-C while the replaced folder is deleted ends with 130, and a note says that the output is complete."""
    write_stack(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model.safetensors").touch()
    done = build_with(_SIGNAL_AT_THE_END, tmp_path, "--force")
    assert done.returncode == 130
    assert "out: note: the output is complete\n  hint: what is left of the folder" in done.stderr
    assert_made_from_donors(tmp_path)


def test_one_signal_ends_a_build(tmp_path: Path) -> None:
    """SIGTERM at any moment ends the process soon, with 143 or with a complete output, and the next run goes on."""
    write_stack(tmp_path)
    for delay in range(0, 800, 50):
        command = [sys.executable, "-m", "stacker", "build", "stack.yml", "out"]
        with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE) as process:
            time.sleep(delay / 1000)
            process.terminate()
            code = process.wait(timeout=20)
        assert code in (143, 0, -signal.SIGTERM), process.stderr
        if (tmp_path / "out").exists():
            assert_made_from_donors(tmp_path)
            shutil.rmtree(tmp_path / "out")
    assert build(tmp_path).returncode == 0


_STREAMS = {
    "closed output": ">&-",
    "closed error": "2>&-",
    "all closed": "<&- >&- 2>&-",
    "full error": "2>/dev/full",
    "broken error": "2> >(true)",
}


@pytest.mark.parametrize("streams", _STREAMS.values(), ids=_STREAMS.keys())
@pytest.mark.parametrize("words", ["", "--json"], ids=["text", "json"])
def test_no_stream_harms_a_build(tmp_path: Path, streams: str, words: str) -> None:
    """With closed, full or broken standard streams, the output is right, and the exit code says so."""
    write_stack(tmp_path)
    command = f"{sys.executable} -m stacker build stack.yml out {words} {streams}"
    assert subprocess.run(["bash", "-c", command], cwd=tmp_path, check=False).returncode == 0
    assert_made_from_donors(tmp_path)
    assert not (tmp_path / "out.partial").exists()


def test_a_report_that_cannot_be_written_says_that_the_output_is_complete(tmp_path: Path) -> None:
    """If standard output is full, the exit code is that of storage errors, and the message says what stands."""
    write_stack(tmp_path)
    command = f"{sys.executable} -m stacker build stack.yml out --json >/dev/full"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 5
    assert "the output is complete, but its report cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert_made_from_donors(tmp_path)


def test_copies_that_share_blocks_are_made_again(tmp_path: Path) -> None:
    """In the layout for clones, only computed tensors are kept, and the output is right."""
    write_stack(tmp_path)
    killed = build_with(KILL, tmp_path, "--layout", "clone")
    assert killed.returncode == -signal.SIGKILL
    assert _kept(tmp_path, "--layout", "clone") == 0


def test_another_spec_does_not_take_up_the_work(home: Path) -> None:
    """The work of another plan is refused, and is still resumed afterwards by its own spec."""
    (home / "stack.yml").write_text(SPEC.replace("a[0:3]", "a[0:2]"))
    done = build(home)
    assert done.returncode == 2
    assert "another plan's unfinished work" in done.stderr
    (home / "stack.yml").write_text(SPEC)
    assert _kept(home) > 0
