"""Folding a LoRA of rank 64 into a donor of 2.7 GB, compared with `linear` of two donors and with peft's merge.

Run as a program (`python -m tools.bench.adapters`), it writes the LoRA or merges it with peft.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tools.bench import contenders, donors
from tools.bench.contenders import BlendOf
from tools.bench.measure import (
    Bench,
    Row,
    Run,
    alternate,
    at_least,
    at_most,
    megabytes,
    peak,
    remove,
    run,
    seconds,
    spread,
)
from tools.bench.passthrough import make_two_donors

RANK = 64


def measure(bench: Bench) -> Iterator[Row]:
    """Time and resident memory of a whole build, durable, with all matrices of the layers changed; peft runs once."""
    first, second = make_two_donors(bench.scratch)
    lora, out = _make_lora(bench.scratch / "lora"), bench.scratch / "out"
    fold = _write_fold(bench.scratch / "fold.yml", first, lora)
    blend = BlendOf("linear", (first, second), None, {"weight": 0.5}, {})
    linear = contenders.write_blend(bench.scratch / "linear.yml", blend)
    prepare = partial(contenders.prepare, out, first, second)
    builds = {"fold": partial(contenders.build, fold, out), "linear": partial(contenders.build, linear, out)}
    runs = alternate(bench.times, prepare, **builds)
    runs |= alternate(1, prepare, peft=partial(_merge, first, lora, out))
    yield from (Row(f"LoRA of rank {RANK}, 2.7 GB: {name}", spread(found)) for name, found in runs.items())
    yield at_most("fold / linear", seconds(runs["fold"]) / seconds(runs["linear"]), 1.3, "×", 2)
    yield at_most("resident memory of folding", peak(runs["fold"]) / 1e6, 300, "MB", 0)
    yield at_least("peft / stacker", seconds(runs["peft"]) / seconds(runs["fold"]), 4, "×")
    note = f" of {megabytes(peak(runs['peft']))}"
    yield at_least("memory of peft / stacker", peak(runs["peft"]) / peak(runs["fold"]), 10, "×", 1, note)
    remove(out)


def _make_lora(folder: Path) -> Path:
    if not (folder / "adapter_config.json").exists():
        run(sys.executable, "-m", "tools.bench.adapters", "make", folder)
    return folder


def _write_fold(path: Path, donor: Path, lora: Path) -> Path:
    source = {"source": str(donor.absolute()), "adapters": [str(lora.absolute())]}
    path.write_text(json.dumps({"stacker": 1, "name": path.stem, "donors": {"a": source}, "stack": ["a"]}))
    return path


def _merge(donor: Path, lora: Path, out: Path) -> Run:
    """Merge with peft in bf16 and save, then `sync` the output, as stacker does itself."""
    script = '"$1" -m tools.bench.adapters merge "$2" "$3" "$4" && sync "$4"/*'
    return run("sh", "-c", script, "merge", sys.executable, donor, lora, out)


def make_lora(folder: Path) -> None:
    """Write a LoRA with random factors for all matrices of the layers of a donor of 2.7 GB."""
    import numpy as np
    from safetensors.numpy import save_file

    draw, factors = np.random.default_rng(0), {}
    for name, size in donors.tensors(donors.MIDDLE):
        if ".layers." in name and len(size) == 2:
            module = f"base_model.model.{name.removesuffix('.weight')}"
            factors[f"{module}.lora_A.weight"] = draw.standard_normal((RANK, size[1]), np.float32) * np.float32(0.01)
            factors[f"{module}.lora_B.weight"] = draw.standard_normal((size[0], RANK), np.float32) * np.float32(0.01)
    folder.mkdir()
    save_file(factors, folder / "adapter_model.safetensors")
    modules = sorted({name.split(".")[-3] for name in factors})
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": RANK, "target_modules": modules, "task_type": "CAUSAL_LM"}
    (folder / "adapter_config.json").write_text(json.dumps(config))


def merge_with_peft(donor: Path, lora: Path, out: Path) -> None:
    """What peft's documentation does: load the base, load the LoRA, merge, save."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(donor, dtype=torch.bfloat16)
    PeftModel.from_pretrained(base, lora).merge_and_unload().save_pretrained(out)


PROGRAMS: dict[str, Callable[..., None]] = {"make": make_lora, "merge": merge_with_peft}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](*map(Path, sys.argv[2:]))
