"""Tokens a second of a live stack on a GPU, against the same stack built and loaded by transformers.

The program (`python -m tools.bench.live_gpu DONOR DEVICE TIMES`) runs apart; with the device `cpu` it tries itself.
"""

from __future__ import annotations

import importlib.util
import json
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools import smollm2
from tools.bench.live import LAYERS, run_apart, write_spec
from tools.bench.measure import Bench, BenchError, Row, at_least, remove

TOKENS = 128


def measure(bench: Bench) -> Iterator[Row]:
    """Generation by both, in turn; BenchError without a GPU."""
    if importlib.util.find_spec("torch") is None or not _has_gpu():
        raise BenchError("torch sees no GPU here")
    try:
        donor = smollm2.make_donor(bench.scratch / "smollm2")
    except smollm2.MissingPackageError as error:
        raise BenchError(str(error)) from error
    found = run_apart(__name__, donor, "cuda", bench.times)
    yield Row("built, loaded by transformers, on a GPU", f"{found['built']:.0f} tokens/s")
    yield at_least("live / built", found["live"] / found["built"], 0.95, "×", 2, f" at {found['live']:.0f} tokens/s")


def _has_gpu() -> bool:
    import torch

    return bool(torch.cuda.is_available())


def main(donor: Path, device: str, times: int) -> dict[str, float]:
    """Median tokens a second of greedy generation; BenchError if both do not write the same tokens."""
    from transformers import AutoModelForCausalLM

    import stacker

    stack, out = stacker.load(write_spec(donor, LAYERS, "gpu")), donor.parent / "live-gpu-out"
    remove(out)
    stack.build(out)
    built = AutoModelForCausalLM.from_pretrained(out, dtype="auto").to(device)
    models = {"live": stack.live_stack(device).model, "built": built}
    texts = {name: generate(model) for name, model in models.items()}
    if texts["live"] != texts["built"]:
        raise BenchError("the live stack does not write what the built one does")
    speeds: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(times):
        for name, model in models.items():
            start = time.perf_counter()
            generate(model)
            speeds[name].append(TOKENS / (time.perf_counter() - start))
    remove(out)
    return {name: statistics.median(each) for name, each in speeds.items()}


def generate(model: Any) -> list[int]:
    """The tokens that follow a prompt, always as many; returns when they are on the processor."""
    import torch

    prompt = torch.arange(16, device=model.device)[None]
    with torch.no_grad():
        result = model.generate(prompt, max_new_tokens=TOKENS, min_new_tokens=TOKENS, do_sample=False, pad_token_id=0)
    tokens: list[int] = result[0].tolist()
    return tokens


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))
