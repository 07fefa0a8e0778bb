"""Donors and graphs for tests of the core, without any file: the tensors are those that a tiny config promises."""

from __future__ import annotations

from typing import Any

from stacker.arch.families import find_architecture
from stacker.arch.files.architecture import Part
from stacker.arch.placement import list_expected_tensors, place_tensors
from stacker.core.stack.graph import StackGraph, build_graph
from stacker.core.values.donor import Donor, DonorFile, DonorTensor, Extent
from stacker.spec.language.stack_spec import StackSpec
from stacker.spec.parser import parse_spec

CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "num_hidden_layers": 6,
    "hidden_size": 16,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 24,
    "tie_word_embeddings": False,
    "dtype": "bfloat16",
}
DATA_START = 1024


def make_donor(name: str = "a", **config: Any) -> Donor:
    """A donor whose tensors lie one after the other in one file, in model order."""
    merged = CONFIG | config
    architecture = find_architecture(merged)
    assert architecture is not None
    specs = {spec.name: spec for spec in list_expected_tensors(architecture, merged)}
    placements = place_tensors(architecture, merged, specs)
    tensors = {}
    offset = DATA_START
    for spec in specs.values():
        place = placements[spec.name]
        extent = Extent(0, offset, spec.nbytes)
        tensors[spec.name] = DonorTensor(spec, place.part, place.role, place.layer, place.suffix, extent)
        offset += spec.nbytes
    file = DonorFile("model.safetensors", offset, f"digest of {name}", f"{name}/model.safetensors")
    return Donor(name, f"./{name}", merged, architecture, merged["num_hidden_layers"], tensors, (file,))


def spec_of(stack: str, donors: str = "ab", **keys: str) -> StackSpec:
    """A native spec with this `stack` (YAML, any indentation) over donors called by single letters."""
    lines = ["stacker: 1", "name: test", "donors:", *(f"  {name}: ./{name}" for name in donors)]
    lines += ["stack:", stack, *(f"{key}: {value}" for key, value in keys.items())]
    return parse_spec("\n".join(lines), "test.yml")


def graph_of(stack: str, donors: dict[str, Donor] | None = None, **keys: str) -> StackGraph:
    """The graph of such a spec."""
    known = donors or {name: make_donor(name) for name in "ab"}
    return build_graph(spec_of(stack, "".join(known), **keys), known)


def origins(graph: StackGraph) -> list[str]:
    """Where each layer comes from, as text: `a3`, or `a3+b1` for a blend."""
    return ["+".join(f"{feed.donor}{feed.layer}" for feed in node.feeds) for node in graph.layers]


def part_of(donor: Donor, part: Part) -> list[str]:
    """The names of a donor's own tensors in one part."""
    return [name for name, tensor in donor.tensors.items() if tensor.part is part]
