"""A stack of whole layers, written by the parts under test and the safetensors library."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from stacker.arch.dimensions import depth_of
from stacker.arch.inference import infer_architecture
from stacker.arch.model import Part
from stacker.arch.placement import place_tensors
from stacker.arch.table import find_architecture
from stacker.core.donor import Donor, DonorTensor
from stacker.core.hf_config import compile_config
from stacker.errors import Problem
from stacker.tensors import DTYPES, TensorSpec
from tests.families.cases import Pick

Weights = dict[str, torch.Tensor]


def read_donor(name: str, folder: Path) -> tuple[Donor, Weights]:
    config = json.loads((folder / "config.json").read_text())
    weights: Weights = {}
    specs: dict[str, TensorSpec] = {}
    with safe_open(folder / "model.safetensors", "pt") as file:
        for key in file.keys():  # noqa: SIM118  # safe_open is no mapping
            weights[key] = file.get_tensor(key)
            specs[key] = TensorSpec(key, DTYPES["F32"], tuple(weights[key].shape))
    architecture = find_architecture(config) or infer_architecture(config, specs)
    placed = place_tensors(architecture, config, specs)
    tensors = {
        place.name: DonorTensor(specs[key], place.part, place.role, place.layer, place.suffix)
        for key, place in placed.items()
        if not place.ignored
    }
    return Donor(name, str(folder), config, architecture, depth_of(architecture, config), tensors), weights


def write_stack(donors: Mapping[str, tuple[Donor, Weights]], picks: Sequence[Pick], out: Path) -> tuple[Problem, ...]:
    """The stack of the picked layers under `out`; nothing is written where there are problems."""
    first, last = donors[picks[0][0]][0], donors[picks[-1][0]][0]
    prefix = first.architecture.prefix
    tensors: Weights = {}
    sources = [("", first, first.outside(Part.EMBED))]
    sources += [
        (prefix.replace("{i}", str(k)), donors[d][0], donors[d][0].layers()[j]) for k, (d, j) in enumerate(picks)
    ]
    sources += [("", last, last.outside(Part.HEAD))]
    for place, donor, table in sources:
        tensors |= {place + key: donors[donor.name][1][tensor.spec.name].clone() for key, tensor in table.items()}
    tied = first is last and bool(last.tied())
    for name, _ in last.tied() if tied else ():
        del tensors[name]
    layers = [[(donors[name][0], layer)] for name, layer in picks]
    config, problems = compile_config(first, layers, embed=first, head=last, tied=tied)
    if not problems:
        out.mkdir(parents=True, exist_ok=True)
        (out / "config.json").write_text(json.dumps(config, indent=2))
        save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    return problems
