"""Makes donors and plans tensor by tensor, and builds them, for tests of executors.

The layout is as simple as possible: tensors in order, a new shard after every `per_shard` tensors, headers made here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch

from stacker.arch.files.architecture import Architecture, Part
from stacker.arch.files.formula import parse_formula
from stacker.core.plan.plan import Costs, Plan, Report, Shard, Step
from stacker.core.plan.shard_layout import Layout
from stacker.core.plan.task_making import make_tasks
from stacker.core.values.donor import Donor, DonorFile, DonorTensor, Extent
from stacker.core.values.expression import Blend, Copy, Expression
from stacker.io.files.headers import read_header
from stacker.io.output.destination import FolderDestination
from stacker.io.output.folder import open_output
from stacker.run.local import execute
from stacker.run.resume import check_earlier_work
from stacker.tensors import CONFIG_DTYPES, TensorRef, TensorSpec

PLAIN = Architecture(name="plain", model_types=(), depth=parse_formula("layers"), prefix="layers.{i}.")


@dataclass(frozen=True)
class Made:
    """An output tensor: its torch type, its shape, and its expression."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    expression: Expression


def write_plain_donor(folder: Path, name: str, files: Sequence[Mapping[str, torch.Tensor]]) -> Donor:
    """Write a donor with the safetensors library, one file for each mapping of names to tensors."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, DonorTensor] = {}
    found: list[DonorFile] = []
    for number, content in enumerate(files):
        path = folder / f"{name}-{number}.safetensors"
        safetensors.torch.save_file(dict(content), path)
        header = read_header(path)
        found.append(DonorFile(path.name, header.size, header.digest, str(path), header.stamp, header.data_start))
        for stored in header.tensors:
            extent = Extent(number, stored.begin, stored.nbytes)
            tensors[stored.spec.name] = DonorTensor(stored.spec, Part.LAYER, "any", 0, extent=extent)
    return Donor(name, str(folder), {}, PLAIN, 1, tensors, tuple(found))


def make_plain_plan(tensors: Mapping[str, Made], per_shard: int = 100) -> Plan:
    """A plan of these tensors in this order, `per_shard` in each shard."""
    names = list(tensors)
    groups = [names[start : start + per_shard] for start in range(0, len(names), per_shard)]
    steps: list[Step] = []
    shards: list[Shard] = []
    for number, group in enumerate(groups):
        specs = [_spec(name, tensors[name]) for name in group]
        header = _header(specs)
        offset = len(header)
        for spec in specs:
            steps.append(Step(spec, number, offset, tensors[spec.name].expression))
            offset += spec.nbytes
        name = f"model-{number + 1:05}-of-{len(groups):05}.safetensors" if len(groups) > 1 else "model.safetensors"
        shards.append(Shard(name, header, offset))
    return Plan("plan", "plain", {"layers": 1}, tuple(steps), tuple(shards), Layout(), (), Costs(0, 0, 0, 0))


def _spec(name: str, made: Made) -> TensorSpec:
    return TensorSpec(name, CONFIG_DTYPES[str(made.dtype).removeprefix("torch.")], made.shape)


def _header(specs: Sequence[TensorSpec]) -> bytes:
    table: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for spec in specs:
        nbytes = math.prod(spec.shape) * spec.dtype.bits // 8
        table[spec.name] = {"dtype": spec.dtype.label, "shape": list(spec.shape), "data_offsets": [end, end + nbytes]}
        end += nbytes
    text = json.dumps(table).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def build(plan: Plan, donors: Mapping[str, Donor], out: Path, *, workers: int = 2) -> Report:
    """Execute a plan into `out`, and check that the last call of the watch reported all bytes as done."""
    told: list[tuple[int, int]] = []
    with open_output(FolderDestination(out), plan, {}, force=False, restart=False) as output:
        tasks = make_tasks(plan, donors)
        check_earlier_work(plan, tasks, output)
        report = execute(plan, tasks, output, workers=workers, watch=lambda *news: told.append(news))
        output.commit()
    assert told[-1] == (plan.total_size, plan.total_size)
    return report


def built(out: Path) -> dict[str, torch.Tensor]:
    """Every tensor of an output, as the safetensors library reads it."""
    return {
        name: t for path in sorted(out.glob("*.safetensors")) for name, t in safetensors.torch.load_file(path).items()
    }


def copy(name: str, donor: str = "a") -> Copy:
    """An unchanged tensor of a donor."""
    return Copy(TensorRef(donor, name))


def linear(*sources: Expression, weights: Sequence[float]) -> Blend:
    """The weighted mean of sources."""
    return Blend("linear", sources, (), tuple((("weight", weight),) for weight in weights))


def slerp(a: Expression, b: Expression, t: float) -> Blend:
    """The spherical interpolation of two sources."""
    return Blend("slerp", (a, b), (("t", t),))


def random(*shape: int, seed: int, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    """A tensor of normally distributed values, which are the same for the same seed."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)
