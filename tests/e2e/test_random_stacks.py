"""Random specs, killed once and resumed, against an undisturbed build and arithmetic on whole tensors in fp64."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

from tests.e2e.interrupted import build_with, stacker
from tests.e2e.naive import find_differences
from tests.e2e.random_stacks import write_donors, write_stack


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_a_random_spec_means_what_it_says(tmp_path: Path, seed: int) -> None:
    """A build that is killed after some tasks and resumed writes the undisturbed bytes, and the values of the spec."""
    write_donors(tmp_path)
    spec = write_stack(tmp_path, seed)
    killed = build_with(f"if number == {3 + 5 * seed}: os.kill(os.getpid(), signal.SIGKILL)", tmp_path)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert stacker(tmp_path, "build", "stack.yml", "out").returncode == 0
    assert stacker(tmp_path, "verify", "out").returncode == 0
    assert find_differences(tmp_path, spec, tmp_path / "out") == []
    resumed = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    shutil.rmtree(tmp_path / "out")
    assert stacker(tmp_path, "build", "stack.yml", "out").returncode == 0
    assert resumed == {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}


def test_a_wrong_tensor_is_found(tmp_path: Path) -> None:
    """The comparison notices one changed byte of an output."""
    write_donors(tmp_path)
    spec = write_stack(tmp_path, 0)
    assert stacker(tmp_path, "build", "stack.yml", "out").returncode == 0
    shard = min((tmp_path / "out").glob("*.safetensors"))
    content = bytearray(shard.read_bytes())
    content[-1] ^= 0x40
    shard.write_bytes(content)
    assert len(find_differences(tmp_path, spec, tmp_path / "out")) == 1
