"""Runs llama.cpp and MLX, which `make clients` has installed under build/clients, on a checkpoint."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch

from tools.clients.trial import PROMPT, Run

HERE = Path(__file__).parent
TIMEOUT = 120
"""Seconds after which a program counts as refusing a checkpoint."""


def find_programs(home: Path) -> dict[str, Run]:
    """The programs that are installed in the folder `home`, by the names that verdicts use."""
    found: dict[str, Run] = {}
    if (home / "logits").is_file():
        found["llama.cpp"] = lambda checkpoint: _run_llama_cpp(home, checkpoint)
    if (home / "mlx/bin/python").is_file():
        script = str(HERE / "mlx_logits.py")
        found["MLX"] = lambda checkpoint: _read(str(home / "mlx/bin/python"), script, str(checkpoint), *_words())
    return found


def _run_llama_cpp(home: Path, checkpoint: Path) -> torch.Tensor:
    file = checkpoint.with_suffix(".gguf")
    convert_checkpoint(home, checkpoint, file)
    return run_gguf(home, file)


def convert_checkpoint(home: Path, checkpoint: Path, file: Path) -> None:
    """Convert a checkpoint to a GGUF file with llama.cpp's converter; subprocess.CalledProcessError if it refuses."""
    _call(sys.executable, str(HERE / "to_gguf.py"), str(home / "llama.cpp"), str(checkpoint), str(file))


def run_gguf(home: Path, file: Path) -> torch.Tensor:
    """The logits that llama.cpp computes from a GGUF file; subprocess.CalledProcessError if it does not load it."""
    return _read(str(home / "logits"), str(file), *_words())


def _words() -> list[str]:
    return [str(token) for token in PROMPT]


def _read(*command: str) -> torch.Tensor:
    lines = _call(*command).splitlines()
    return torch.tensor([[float(word) for word in line.split()] for line in lines])


def _call(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=TIMEOUT)
    return done.stdout
