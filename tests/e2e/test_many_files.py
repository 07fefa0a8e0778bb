"""A stack of 1,000 layers from 20 donors of 50 shards each, in a process that may open 256 files."""

from __future__ import annotations

import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import safe_open

from tests.donors import write_llama

_DONORS = 20
_LAYERS = 50
_SHARDS = 50
_DESCRIPTORS = 256


def _run(folder: Path, *words: str, script: str = "") -> subprocess.CompletedProcess[str]:
    start = ["-c", script] if script else ["-m", "stacker"]
    return subprocess.run(
        [sys.executable, *start, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (_DESCRIPTORS, _DESCRIPTORS)),
    )


_KILLED = """
import os, signal, sys
from stacker.cli import main
from stacker.io.output.folder import Output
record = Output.record
def record_and_end(self, *words, **options):
    record(self, *words, **options)
    if self.recorded:
        os.kill(os.getpid(), signal.SIGKILL)
Output.record = record_and_end
from stacker.run import local
local._RECORD = 0.2
os._exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_thousand_layers_with_256_descriptors(tmp_path: Path) -> None:
    """A build that is killed and resumed, and its verification, succeed; every layer is the donor's."""
    names = [f"d{number}" for number in range(_DONORS)]
    for seed, name in enumerate(names):
        write_llama(tmp_path / name, layers=_LAYERS, hidden=8, ffn=8, seed=seed, shards=_SHARDS)
    donors = ", ".join(f"{name}: ./{name}" for name in names)
    stack = "".join(f"  - {names[layer % _DONORS]}[{layer // _DONORS}]\n" for layer in range(_DONORS * _LAYERS))
    text = f"stacker: 1\ndonors: {{{donors}}}\nstack:\n{stack}output: {{shard_size: 8kB}}\n"
    (tmp_path / "stack.yml").write_text(text)
    killed = _run(tmp_path, "build", "stack.yml", "out", script=_KILLED)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    built = _run(tmp_path, "build", "stack.yml", "out", "--json")
    assert built.returncode == 0, built.stderr
    verified = _run(tmp_path, "verify", "out")
    assert verified.returncode == 0, verified.stderr
    assert _find_wrong_layers(tmp_path) == []
    shutil.rmtree(tmp_path / "out")


def _find_wrong_layers(folder: Path) -> list[int]:
    """The layers of the output whose query projection is not the donor's."""
    found, given = (
        {each: _read_queries(folder / each) for each in names} for names in (["out"], [f"d{n}" for n in range(_DONORS)])
    )
    return [
        layer
        for layer in range(_DONORS * _LAYERS)
        if found["out"][layer] != given[f"d{layer % _DONORS}"][layer // _DONORS]
    ]


def _read_queries(folder: Path) -> dict[int, list[float]]:
    queries: dict[int, list[float]] = {}
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118 - not a dict
                if name.endswith("self_attn.q_proj.weight"):
                    queries[int(name.split(".")[2])] = file.get_tensor(name).flatten().tolist()
    return queries
