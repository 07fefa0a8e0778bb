"""Extracting a LoRA of rank 16 from a fine-tune of SmolLM2-135M, compared with mergekit's `mergekit-extract-lora`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tools.bench import contenders
from tools.bench.measure import STACKER, Bench, Row, Run, alternate, at_least, megabytes, peak, run, seconds, spread

RANK = 16


def measure(bench: Bench) -> Iterator[Row]:
    """Time and resident memory of whole commands; every matrix of the fine-tune differs from the base's."""
    home = bench.scratch / "extraction"
    base, tuned, out = home / "base", home / "tuned", home / "lora"
    if not (tuned / "config.json").exists():
        run(sys.executable, "-m", "tools.bench.extraction", home)
    mergekit = contenders.find_mergekit(bench.mergekit, bench.scratch).with_name("mergekit-extract-lora")
    ours = partial(run, *STACKER, "extract-lora", tuned, base, out, "--rank", str(RANK))
    runs = alternate(
        bench.times,
        partial(contenders.prepare, out),
        stacker=ours,
        mergekit=partial(_extract, mergekit, tuned, base, out),
    )
    yield from (Row(f"extracting a LoRA of rank {RANK}: {name}", spread(found)) for name, found in runs.items())
    yield at_least("mergekit / stacker", seconds(runs["mergekit"]) / seconds(runs["stacker"]), 3, "×")
    memory = {name: peak(found) for name, found in runs.items()}
    note = f" ({megabytes(memory['stacker'])}, {megabytes(memory['mergekit'])})"
    yield Row("memory of mergekit / stacker", f"{memory['mergekit'] / memory['stacker']:.1f} ×{note}")


def _extract(program: Path, tuned: Path, base: Path, out: Path) -> Run:
    return run(program, "--model", tuned, "--base-model", base, "--out-path", out, "--max-rank", str(RANK))


def make_donors(home: Path) -> None:
    """Write SmolLM2 as `base`, and as `tuned` with noise of a hundredth of its own size on every matrix."""
    import numpy as np
    import torch
    from safetensors.torch import load_file, save_file

    from tools import smollm2

    home.mkdir(exist_ok=True)
    base, tuned = smollm2.make_donor(home / "base"), home / "tuned"
    tuned.mkdir(exist_ok=True)
    draw = np.random.default_rng(0)
    for file in base.iterdir():
        if file.suffix != ".safetensors":
            (tuned / file.name).write_bytes(file.read_bytes())
            continue
        tensors = load_file(file)
        for name, tensor in tensors.items():
            if tensor.ndim == 2:
                noise = torch.from_numpy(draw.standard_normal(tuple(tensor.shape), np.float32))
                tensors[name] = (tensor.float() + noise * tensor.float().std() * 0.01).to(tensor.dtype)
        save_file(tensors, tuned / file.name, {"format": "pt"})


if __name__ == "__main__":
    make_donors(Path(sys.argv[1]))
