"""Runs the command line in a process that ends itself, or does something else, after some of a build's tasks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import safetensors.torch
import torch

from tests.donors import write_llama

SPEC = """\
stacker: 1
name: interrupted
donors: {a: ./a, b: ./b}
stack:
  - a[0:3]
  - b[2:5]
  - {blend: ["a[3:6]", "b[3:6]"], op: linear, weight: 1}
  - {slice: "b[5:6]", scale: {attn.o: 0.5, mlp.down: 0}}
output: {shard_size: 60kB}
"""
_SCRIPT = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells ignore it for programs in the background
from pathlib import Path
from stacker.cli import main
from stacker.run import local
do, number = local._do, 0
local._RECORD = 0.01
def counted(*task):
    global number
    do(*task)
    time.sleep(0.03)
    number += 1
    exec(sys.argv[1], globals())
local._do = counted
os._exit(main(["build", "stack.yml", "out", "--workers", "1", *sys.argv[2:]]))
"""
KILL = "if number == 9: os.kill(os.getpid(), signal.SIGKILL)"


def write_stack(folder: Path) -> None:
    """Write two donors and a spec that copies, scales and blends their layers."""
    for seed, name in enumerate("ab"):
        write_llama(folder / name, layers=6, hidden=64, ffn=128, vocab=96, seed=seed)
    (folder / "stack.yml").write_text(SPEC)


def build_with(action: str, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Build, and run the Python code `action` after each task; `number` counts the tasks from 1."""
    command = [sys.executable, "-c", _SCRIPT, action, *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def stacker(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of stacker."""
    command = [sys.executable, "-m", "stacker", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def build(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Build the stack without a disturbance."""
    return stacker(folder, "build", "stack.yml", "out", *words)


def overwrite(path: Path, *, keep_mtime: bool) -> None:
    """Change tensor data in a file in place: its size and header stay the same, and the mtime if asked."""
    status = path.stat()
    start = 8 + int.from_bytes(path.read_bytes()[:8], "little")
    with path.open("r+b") as file:
        file.seek(start)
        content = bytearray(file.read())
        content[1::2] = bytes(byte ^ 0x80 for byte in content[1::2])  # the sign of every bf16 element
        file.seek(start)
        file.write(content)
    if keep_mtime:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def assert_made_from_donors(folder: Path) -> None:
    """Compare every tensor of the output with the donors' present files, combined by torch in float64."""
    a, b = (safetensors.torch.load_file(folder / name / "model.safetensors") for name in "ab")
    found = {
        name: tensor
        for path in (folder / "out").glob("*.safetensors")
        for name, tensor in safetensors.torch.load_file(path).items()
    }
    sources = [(a, 0), (a, 1), (a, 2), (b, 2), (b, 3), (b, 4), (None, 3), (None, 4), (None, 5)]
    for layer, (donor, source) in enumerate(sources):
        names = [name for name in a if name.startswith(f"model.layers.{source}.")]
        assert names
        for name in names:
            made = found[name.replace(f"layers.{source}.", f"layers.{layer}.")]
            mean = ((a[name].double() + b[name].double()) / 2).bfloat16()
            assert torch.equal(made, donor[name] if donor else mean), name
    for name in (name for name in b if name.startswith("model.layers.5.")):
        factor = 0.5 if "o_proj" in name else 0.0 if "down_proj" in name else 1.0
        assert torch.equal(found[name.replace("layers.5.", "layers.9.")], b[name] * factor)
    assert torch.equal(found["model.embed_tokens.weight"], a["model.embed_tokens.weight"])
    assert torch.equal(found["lm_head.weight"], b["lm_head.weight"])
