"""Measures how fast this machine builds, by building small stacks with every op (`doctor --measure`)."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

from stacker.compose import build, load_text
from stacker.core.plan.plan import Report
from stacker.core.plan.shard_layout import LayoutKind
from stacker.core.study.build_time import SCALE, WITHOUT_ARITHMETIC, Origin, Speeds, Work, bound_speed, count_work
from stacker.formats.safetensors import make_header
from stacker.io.disk.storage import explain_errors
from stacker.io.speeds import write_speeds
from stacker.ops.shared.op import Base, Op
from stacker.ops.table import OPS
from stacker.progress import Watch, ignore_watch
from stacker.run.building import BuildOptions
from stacker.tensors import Dtype, TensorSpec

SETTINGS: Mapping[str, str] = MappingProxyType({
    "slerp": "t: 0.4",
    "nearswap": "t: 0.001",
    "sce": "select_topk: 0.5",
    **dict.fromkeys(("ties", "dare_linear", "dare_ties", "della_linear", "della"), "density: 0.5"),
    **dict.fromkeys(("breadcrumbs", "breadcrumbs_ties"), "density: 0.5"),
})  # fmt: skip
"""Parameters of ops that need them, or that would do less work without them."""
_DONORS = ("one", "two", "base")
LARGE, SMALL = 2048, 64
"""Hidden sizes of the donors that are measured, and of those with which the compiled code is loaded beforehand."""
_LAYERS = 2


@dataclass(frozen=True, slots=True)
class _Trial:
    """A kind of work and the text of the stack that consists of it."""

    kind: str
    stack: str


_COPY = "copy"
TRIALS = (
    _Trial(_COPY, "stack: [one]"),
    _Trial(SCALE, "stack: [{slice: one, scale: {attn: 0.5, mlp: 0.5}}]"),
)


def list_trials() -> tuple[_Trial, ...]:
    """A copy, a stack of scaled layers, and a blend by each op that computes."""
    blends = (_Trial(op.name, _write_blend(op)) for op in OPS.values() if op.name not in WITHOUT_ARITHMETIC)
    return (*TRIALS, *blends)


def _write_blend(op: Op) -> str:
    sources = "one, two" if op.arity[1] != 1 else "one"
    settings = f", {SETTINGS[op.name]}" if op.name in SETTINGS else ""
    base = "base: base\n" if op.base is Base.REQUIRED else ""
    return f"{base}stack: [{{blend: [{sources}], op: {op.name}{settings}}}]"


def measure_speeds(folder: Path, watch: Watch = ignore_watch) -> Speeds:
    """Build small stacks in a temporary folder in `folder`, on whose disk the speed of writing depends, and keep the
    speeds for this machine.

    It takes some seconds and 700 MB of disk space; `watch` is called with the stacks built and their number.
    StorageError if the folder cannot be written to.
    """
    trials, found = list_trials(), dict[str, tuple[Work, Report]]()
    with explain_errors(folder), tempfile.TemporaryDirectory(dir=folder, prefix=".stacker-doctor-") as name:
        small, large = Path(name) / "small", Path(name) / "large"
        _write_donors(small, SMALL)
        _write_donors(large, LARGE)
        for number, trial in enumerate(trials):
            _run_trial(small, trial)
            found[trial.kind] = _run_trial(large, trial)
            watch(number + 1, len(trials))
    speeds = _make_speeds(found)
    write_speeds(speeds)
    return speeds


def _make_speeds(found: Mapping[str, tuple[Work, Report]]) -> Speeds:
    """The speeds that trials of each kind of work have shown; copies that were clones say nothing about writing."""
    writing = SCALE if found[_COPY][1].cloned else _COPY
    work, report = found[writing]
    arithmetic = {
        kind: bound_speed(work.elements[kind] / report.seconds)
        for kind, (work, report) in found.items()
        if kind != _COPY
    }
    return Speeds(bound_speed((work.moved + work.computed) / report.seconds), arithmetic, Origin.MEASURED)


def _run_trial(folder: Path, trial: _Trial) -> tuple[Work, Report]:
    donors = ", ".join(f"{name}: ./{name}" for name in _DONORS)
    text = f"stacker: 1\nname: trial\ndonors: {{{donors}}}\n{trial.stack}\n"
    stack, out = load_text(text.encode(), folder / "trial.yml"), folder / "out"
    built = build(stack, out, BuildOptions(layout=LayoutKind.PLAIN))
    shutil.rmtree(out)
    return count_work(built.plan), built.report


def _write_donors(folder: Path, hidden: int) -> None:
    """Write the donors: Llamas of two layers and random weights in bf16."""
    import numpy as np

    numbers = np.random.default_rng(0).normal(0, 0.02, 3 * hidden * hidden).astype(np.float32)
    weights = (numbers.view(np.uint32) >> 16).astype(np.uint16)
    for number, name in enumerate(_DONORS):
        (folder / name).mkdir(parents=True)
        (folder / name / "config.json").write_text(json.dumps(_make_config(hidden)), encoding="utf-8")
        tensors = [*_list_tensors(hidden)]
        with (folder / name / "model.safetensors").open("wb") as file:
            file.write(make_header(tensors))
            for place, tensor in enumerate(tensors):
                begin = (number * 7919 + place * 104_729) % (len(weights) - 2 * hidden * hidden)
                file.write(weights[begin : begin + tensor.elements].data)


def _make_config(hidden: int) -> dict[str, object]:
    sizes = {"hidden_size": hidden, "intermediate_size": 2 * hidden, "num_attention_heads": 16, "vocab_size": 64}
    return {"model_type": "llama", "num_hidden_layers": _LAYERS, "tie_word_embeddings": True, **sizes}


def _list_tensors(hidden: int) -> Iterator[TensorSpec]:
    make = partial(_make_tensor, hidden)
    yield make("embed_tokens", 64, hidden)
    for n in range(_LAYERS):
        for name in "qkvo":
            yield make(f"layers.{n}.self_attn.{name}_proj", hidden, hidden)
        yield make(f"layers.{n}.mlp.gate_proj", 2 * hidden, hidden)
        yield make(f"layers.{n}.mlp.up_proj", 2 * hidden, hidden)
        yield make(f"layers.{n}.mlp.down_proj", hidden, 2 * hidden)
        yield make(f"layers.{n}.input_layernorm", hidden)
        yield make(f"layers.{n}.post_attention_layernorm", hidden)
    yield make("norm", hidden)


def _make_tensor(hidden: int, name: str, *shape: int) -> TensorSpec:
    assert math.prod(shape) <= 2 * hidden * hidden
    return TensorSpec(f"model.{name}.weight", Dtype.BF16, shape)
