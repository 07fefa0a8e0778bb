"""The command line as people and scripts use it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stacker.errors import StorageError
from tests.cli.commands import run
from tests.donors import write_llama

SPEC = """\
stacker: 1
name: tiny
donors:
  a: ./a
  b: ./b
stack:
  - a[0:4]
  - b[2:6]
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with two donors and a spec."""
    write_llama(tmp_path / "a", seed=1)
    write_llama(tmp_path / "b", seed=2)
    (tmp_path / "spec.yml").write_text(SPEC)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("home")
class TestGoodSpec:
    """Commands on a spec with nothing wrong."""

    def test_check_says_so(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Exit code 0, a line about the stack, and a line about the programs that compute it correctly."""
        code, out, err = run(capsys, "check", "spec.yml", "--for", "llama.cpp")
        assert (code, err) == (0, "")
        about, programs = out.splitlines()
        assert "8 layers" in about
        assert programs == "right in transformers, llama.cpp, vLLM, MLX, exllamav3"

    def test_a_needed_program_must_be_known(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A program of which nothing is known is an error of usage."""
        code, _, err = run(capsys, "build", "spec.yml", "out", "--for", "lama.cpp")
        assert (code, "did you mean 'llama.cpp'?" in err) == (2, True)

    def test_preview_draws_the_stack(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Layers, slices, the jump at the junction, and what is never used."""
        code, out, _ = run(capsys, "preview", "spec.yml")
        assert code == 0
        for part in ("a[0:4]", "b[2:6]", "-2", "4–5", "0–1"):
            assert part in out

    def test_config_is_what_build_writes(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """`config` prints JSON for other programs, nothing else."""
        code, out, _ = run(capsys, "config", "spec.yml")
        assert code == 0
        assert run(capsys, "build", "spec.yml", "out")[0] == 0
        assert json.loads(out) == json.loads((home / "out/config.json").read_text())

    def test_plan_is_complete(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Every tensor has name, type, shape, bytes, shard, offset and origin, and the build keeps to it."""
        code, out, _ = run(capsys, "plan", "spec.yml", "--json")
        plan = json.loads(out)
        assert code == 0
        (tensor,) = [each for each in plan["tensors"] if each["name"] == "model.layers.4.mlp.up_proj.weight"]
        assert tensor["from"] == "b:model.layers.2.mlp.up_proj.weight"
        assert (tensor["dtype"], tensor["shape"], tensor["bytes"]) == ("BF16", [32, 16], 1024)
        run(capsys, "build", "spec.yml", "out", "--layout", "plain")
        data = (home / "out" / plan["shards"][tensor["shard"]]["name"]).read_bytes()
        donor = (home / "b/model.safetensors").read_bytes()
        assert data[tensor["offset"] : tensor["offset"] + 1024] in donor

    def test_build_then_verify(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The report goes to standard error; standard output stays for data."""
        code, out, err = run(capsys, "build", "spec.yml", "out")
        assert (code, out) == (0, "")
        assert "copied" in err or "cloned" in err
        code, out, err = run(capsys, "verify", "out")
        assert (code, out) == (0, "")
        assert "75 tensors as planned" in err

    def test_build_answers_in_json(self, capsys: pytest.CaptureFixture[str]) -> None:
        """One JSON value on standard output, nothing on standard error."""
        code, out, err = run(capsys, "build", "spec.yml", "out", "--json")
        assert (code, err) == (0, "")
        said = json.loads(out)
        assert said["ok"] is True
        assert said["cloned"] + said["copied"] == said["bytes"]

    def test_quiet_says_nothing(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Nothing is printed on success."""
        assert run(capsys, "build", "spec.yml", "out", "--quiet") == (0, "", "")

    @pytest.mark.parametrize("words", [["preview", "spec.yml"], ["check", "spec.yml"], ["inspect", "a"], ["ops"]])
    def test_what_answers_takes_json(self, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        """One JSON value on standard output."""
        code, out, err = run(capsys, *words, "--json")
        assert (code, err) == (0, "")
        assert json.loads(out)

    def test_convert_reads_donors_where_it_must(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Open ends of slices and roles are resolved by reading the donors."""
        more = "  - {slice: 'b[2:]', scale: {attn.o: 0.5, mlp: 0}}\nhead: {slice: b, scale: {attn.o: 0.5, mlp: 0}}\n"
        (home / "spec.yml").write_text(SPEC.replace("  - b[2:6]\n", more))
        code, text, _ = run(capsys, "convert", "spec.yml", "--to", "mergekit")
        assert code == 0
        for part in ("layer_range: [2, 6]", "filter: o_proj, value: 0.5", "filter: mlp, value: 0"):
            assert part in text

    def test_convert_there_and_back(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The same stack in mergekit's dialect has the same config."""
        _, mergekit, _ = run(capsys, "convert", "spec.yml", "--to", "mergekit")
        assert "merge_method: passthrough" in mergekit
        (home / "theirs.yml").write_text(mergekit)
        _, theirs, _ = run(capsys, "config", "theirs.yml")
        _, ours, _ = run(capsys, "config", "spec.yml")
        assert json.loads(theirs) == json.loads(ours)


BAD = {
    "no such spec": (["check", "nothing.yml"], 2, "there is no such file"),
    "a folder as spec": (["check", "a"], 2, "this is a folder"),
    "output exists": (["build", "spec.yml", "a"], 2, "the output folder exists"),
    "no such donor": (["inspect", "./c"], 3, "./c"),
    "not an output": (["verify", "a"], 2, "not an output of stacker"),
    "no such op": (["ops", "slrep"], 2, "did you mean 'slerp'?"),
    "bad size": (["build", "spec.yml", "out", "--max-memory", "plenty"], 2, "plenty"),
    "bad donor place": (["verify", "out", "--donor", "b"], 2, "--donor NAME=FOLDER"),
    "unknown command": (["bulid", "spec.yml"], 2, "No such command 'bulid'"),
    "unknown option": (["check", "spec.yml", "--jsn"], 2, "No such option"),
    "too little memory": (["build", "spec.yml", "out", "--max-memory", "1MB"], 2, "too few"),
}


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(("words", "code", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_ends_in_a_message(
    words: list[str], code: int, message: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each mistake has its exit code and a message, and leaves nothing behind."""
    before = sorted(home.rglob("*"))
    got, out, err = run(capsys, *words)
    assert (got, out) == (code, "")
    assert message in err
    assert sorted(home.rglob("*")) == before


def test_problems_quote_the_line(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The line of the spec is printed below the message, with a caret below the column."""
    (home / "spec.yml").write_text(SPEC.replace("b[2:6]", "b[2:9]"))
    code, _, err = run(capsys, "check", "spec.yml")
    assert code == 2
    assert "spec.yml:8:5: error: slice b[2:9] ends past donor 'b', which has 6 layers" in err
    assert "    - b[2:9]\n      ^\n" in err


def test_problems_in_json(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`check --json` lists problems with line and column, and has the exit code of the error."""
    (home / "spec.yml").write_text(SPEC.replace("b[2:6]", "b[2:9]"))
    code, out, err = run(capsys, "check", "spec.yml", "--json")
    assert (code, err) == (2, "")
    said = json.loads(out)
    assert said["ok"] is False
    assert (said["problems"][0]["line"], said["problems"][0]["column"]) == (8, 5)


def stacker(*words: str, home: Path, **kwargs: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own."""
    env = os.environ | kwargs
    return subprocess.run(
        [sys.executable, "-m", "stacker", *words], cwd=home, env=env, capture_output=True, text=True, check=False
    )


def test_damage_exits_7(home: Path) -> None:
    """A wrong byte is a failed verification."""
    assert stacker("build", "spec.yml", "out", home=home).returncode == 0
    path = home / "out/model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    done = stacker("verify", "out", home=home)
    assert done.returncode == 7
    assert "Traceback" not in done.stderr


LOOKING = {
    "help": ["--help"],
    "check": ["check", "spec.yml"],
    "preview": ["preview", "spec.yml"],
    "config": ["config", "spec.yml"],
    "plan": ["plan", "spec.yml"],
    "inspect": ["inspect", "a"],
    "build": ["build", "spec.yml", "out"],
    "verify": ["verify", "out"],
}


def _imported(home: Path, words: list[str], *modules: str) -> list[str]:
    """Which of these modules a command imports."""
    code = (
        "import sys; from stacker.cli import main; code = main(sys.argv[1:]); "
        f"print('imported', *sorted({set(modules)!r} & sys.modules.keys())); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout.splitlines()[-1].split()[1:]


def test_looking_and_copying_import_no_arithmetic(home: Path) -> None:
    """Commands that build nothing, and builds that only copy, import no numpy, numba, torch or transformers."""
    for words in LOOKING.values():
        assert _imported(home, words, "torch", "transformers", "numpy", "numba") == [], words


@pytest.mark.parametrize("op", ["linear", "ties", "della"])
def test_blending_imports_no_torch(home: Path, op: str) -> None:
    """Ops on the processor import numba only: with one pass or several, with sorting or random draws."""
    stack = f"base: a\nstack: [{{blend: ['a[0:2]', 'b[0:2]'], op: {op}}}]\noutput: {{dtype: float16}}\n"
    (home / "blend.yml").write_text(f"stacker: 1\ndonors: {{a: ./a, b: ./b}}\n{stack}")
    assert _imported(home, ["build", "blend.yml", "out"], "torch", "transformers", "numba") == ["numba"]


def test_a_narrow_terminal_and_no_colour(home: Path) -> None:
    """The preview keeps within 60 columns, and NO_COLOR means no escapes."""
    done = stacker("preview", "spec.yml", home=home, COLUMNS="60", NO_COLOR="1")
    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= 60
    assert "\x1b" not in done.stdout


def test_a_closed_pipe_is_quiet(home: Path) -> None:
    """`stacker plan --json | head -1` ends without an error message."""
    command = f"{sys.executable} -m stacker plan spec.yml --json | head -1"
    done = subprocess.run(["bash", "-c", command], cwd=home, capture_output=True, text=True, check=False)
    assert done.stdout == "{\n"
    assert done.stderr == ""


def test_standard_input_is_a_spec(home: Path) -> None:
    """`-` reads the spec from standard input; its paths start at the current folder."""
    done = subprocess.run(
        [sys.executable, "-m", "stacker", "check", "-"],
        cwd=home,
        input=SPEC,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_full_disk_is_reported() -> None:
    """If standard output cannot be written: one line, no traceback, the exit code of storage errors."""
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        command = [sys.executable, "-m", "stacker", "ops"]
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == StorageError.exit_code
    assert "cannot write to standard output: No space left on device" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_broken_spec_from_a_pipe_is_reported(home: Path) -> None:
    """The line with the mistake is not quoted, because reading the pipe again would wait for ever."""
    os.mkfifo(home / "pipe.yml")
    command = [sys.executable, "-m", "stacker", "check", "pipe.yml"]
    with subprocess.Popen(command, cwd=home, stderr=subprocess.PIPE, text=True) as checking:
        (home / "pipe.yml").write_text("stacker: 1\nstack: [a[0:4]]\n")
        _, said = checking.communicate(timeout=60)
    assert checking.returncode == 2
    assert "pipe.yml:2" in said


def test_files_left_behind_are_named(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In one line after a build, grouped by reason; with --json every file of every donor."""
    for name in ("modeling_x.py", "pytorch_model.bin", "x.foo", "README.md"):
        (home / "b" / name).write_text("x")
    assert "left behind" not in run(capsys, "check", "spec.yml")[1]
    for command in (["check", "spec.yml"], ["preview", "spec.yml"], ["build", "spec.yml", "out"]):
        files = json.loads(run(capsys, *command, "--json")[1])["files"]
        assert files["carried"] == [{"file": "generation_config.json", "donor": "a"}]
        assert {"file": "README.md", "donor": "b", "reason": "written anew"} in files["left_behind"]
        assert len(files["left_behind"]) == 7
    (home / "b" / os.fsdecode(b"\xff.foo")).touch()
    (home / "a" / os.fsdecode(b"LICENSE-\xff")).touch()
    assert "\\udcff.foo" in run(capsys, "check", "spec.yml", "--json")[1]
    said = run(capsys, "build", "spec.yml", "out", "--force")[2]
    left = (
        "left behind: b/x.foo, b/\\udcff.foo (no rule says what it is for); "
        "b/pytorch_model.bin (weights in another format); b/modeling_x.py (code, which is never carried)"
    )
    assert left in said
