"""Writes a stack as ranges of one donor's layers, for programs that repeat layers while they load a checkpoint."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from stacker.core.stack.graph import StackGraph
from stacker.core.stack.nodes import Node
from stacker.core.values.donor import Donor
from stacker.errors import Mark, Problem, SpecError, raise_problems
from stacker.formats.json_object import Json
from stacker.spec.language.stack_spec import StackSpec

_PEFT_PREFIXES = ("model.layers.{i}.", "layers.{i}.", "transformer.h.{i}.", "h.{i}.")
"""How the tensors of layers begin where peft's `layer_replication` finds the list of layers."""


def to_exllamav3(spec: StackSpec, graph: StackGraph, donors: Mapping[str, Donor], config: Mapping[str, Json]) -> str:
    """The value of exllamav3's option `-layer_map`: ranges that include their last layer, such as `0..15,8..23`.

    SpecError lists why the stack cannot be written in this way.
    """
    _, ranges = find_ranges(spec, graph, donors, config)
    return ",".join(f"{start}..{stop - 1}" for start, stop in ranges) + "\n"


def to_peft(spec: StackSpec, graph: StackGraph, donors: Mapping[str, Donor], config: Mapping[str, Json]) -> str:
    """An adapter_config.json with the stack as `layer_replication`, and a new LoRA of rank 8 on all linear layers.

    peft starts such a LoRA with B = 0, so that the model is the stack until it is trained. SpecError lists why the
    stack cannot be written in this way.
    """
    donor, ranges = find_ranges(spec, graph, donors, config)
    if donor.architecture.prefix not in _PEFT_PREFIXES:
        message = f"peft does not find the layers of {donor.architecture.name} ({donor.architecture.prefix})"
        raise SpecError.of(message, "build the stack, and use the result", Mark(spec.source))
    entries: dict[str, Any] = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": donor.source,
        "layer_replication": [[start, stop] for start, stop in ranges],
        "r": 8,
        "lora_alpha": 8,
        "target_modules": "all-linear",
    }
    return json.dumps(entries, indent=2, ensure_ascii=False) + "\n"


def find_ranges(
    spec: StackSpec, graph: StackGraph, donors: Mapping[str, Donor], config: Mapping[str, Json]
) -> tuple[Donor, list[tuple[int, int]]]:
    """The only donor of a stack, and its runs of layers as half-open ranges.

    SpecError if anything else than the order of the donor's layers distinguishes the stack from the donor.
    """
    names = list(dict.fromkeys(feed.donor for node in graph.nodes for feed in node.feeds))
    raise_problems(_check_plain(spec, graph, names))
    donor = donors[names[0]]
    raise_problems(_check_donor(spec, donor, config))
    ranges: list[tuple[int, int]] = []
    for layer in (node.feeds[0].layer or 0 for node in graph.layers):
        if ranges and ranges[-1][1] == layer:
            ranges[-1] = ranges[-1][0], layer + 1
        else:
            ranges.append((layer, layer + 1))
    return donor, ranges


def _check_plain(spec: StackSpec, graph: StackGraph, names: list[str]) -> Iterator[Problem]:
    if len(names) > 1:
        yield Problem(f"layer ranges are of one donor, and this stack is of {', '.join(names)}", "", Mark(spec.source))
    for node in graph.nodes:
        change = _find_change(node)
        if change:
            yield Problem(f"layer ranges have no {change}", "build the stack, and use the result", node.mark)
    for key, given in (("tokenizer", spec.vocabulary), ("chat_template", spec.chat_template)):
        if given is not None:
            yield Problem(f"layer ranges have no `{key}` of their own", "", spec.mark_of(key))
    if spec.output.dtype is not None:
        yield Problem("layer ranges cast no tensors", "leave out `dtype`", spec.mark_of("output"))


def _find_change(node: Node) -> str:
    """What a node does beside copying one layer: `blends`, `hops` or `factors`; "" if nothing."""
    if node.op is not None or len(node.feeds) > 1:
        return "blends"
    if node.hops != 1.0:
        return "hops"
    return "factors" if node.scales or node.feeds[0].scales else ""


def _check_donor(spec: StackSpec, donor: Donor, config: Mapping[str, Json]) -> Iterator[Problem]:
    if any(tensor.expression is not None for tensor in donor.tensors.values()):
        message = f"donor '{donor.name}' is no checkpoint: it is a stack, or has adapters"
        yield Problem(message, "build it first, and name the result", Mark(spec.source))
    depth = donor.architecture.depth.text
    changed = [key for key, value in config.items() if key in donor.config and not _are_alike(value, donor.config[key])]
    bound = [key for key in changed if key not in (depth, "num_hidden_layers", "n_layer", "torch_dtype", "dtype")]
    if bound:
        message = f"the layers of {donor.architecture.name} depend on their places: {', '.join(bound)} would change"
        yield Problem(message, "build the stack, and use the result", Mark(spec.source))


def _are_alike(one: Json, other: Json) -> bool:
    """Whether two values are equal, or lists of the same single value for each layer."""
    if isinstance(one, list) and isinstance(other, list) and one and other:
        return one == other or all(each == one[0] for each in (*one, *other))
    return one == other
