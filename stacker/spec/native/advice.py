"""Makes messages about wrong keys and types in a native spec, with examples and hints."""

from __future__ import annotations

import re

from stacker.errors import Problem, did_you_mean
from stacker.spec.language.validation import Advice, Path, find_last_key
from stacker.spec.native.donor_shape import AdapterShape, DonorShape
from stacker.spec.native.shape import (
    ITEM_KINDS,
    BlendShape,
    CrossfadeShape,
    OutputShape,
    PartShape,
    RepeatShape,
    SliceShape,
    TokenizerShape,
    TokenShape,
    UseShape,
)
from stacker.text.node import Mapping, Node, Scalar, Sequence, describe, shorten, to_data

_ITEM = f"an item is a slice such as xwin[0:16], or a mapping with one of: {', '.join(ITEM_KINDS)}"
_SOURCE = 'a source is a slice such as xwin[0:16], or {slice: "xwin[0:16]", weight: 0.3}'
_PART = "write a donor's name, or a mapping with 'blend', 'op' and the op's parameters"
_TOKENIZER = "write a donor's name, or {source: union, tokens: ..., pad_to_multiple_of: ...}"
_ADAPTER = "write a hub id, a folder, or {source: ..., weight: 0.5}"
_DONOR = "write a hub id, a folder, or {source: ..., like: ..., revision: ...}"
_OPEN_SLICE = re.compile(r"[A-Za-z0-9_.-]+\[[0-9]*")
"""The text before the colon of a slice without its closing bracket, which YAML reads as a key."""
_MERGEKIT = frozenset({"sources", "model", "layer_range", "merge_method"})


def _explain_misfit(path: Path, node: Node) -> Problem:
    """The problem to report for a value that is none of the alternatives allowed at `path`."""
    if path[0] == "donors" and "adapters" in path:
        return Problem(f"an adapter cannot be {describe(node)}", _ADAPTER, node.mark)
    if path[0] == "donors":
        return Problem(f"donor '{shorten(find_last_key(path))}' cannot be {describe(node)}", _DONOR, node.mark)
    if path[0] == "tokenizer":
        return Problem(f"'tokenizer' cannot be {describe(node)}", _TOKENIZER, node.mark)
    if path[0] in ("embed", "head") and len(path) == 1:
        return Problem(f"'{path[0]}' cannot be {describe(node)}", _PART, node.mark)
    if find_last_key(path) in ("blend", "crossfade") and path[-1] != find_last_key(path):
        return Problem(f"a source cannot be {_describe_item(node)}", _advise(node, _SOURCE), node.mark)
    return Problem(f"an item of the stack cannot be {_describe_item(node)}", _advise(node, _ITEM), node.mark)


def _describe_item(node: Node) -> str:
    keys = node.names if isinstance(node, Mapping) else ()
    shown = ", ".join(f"'{shorten(key)}'" for key in keys[:4])
    return f"a mapping with {shown}" if shown else describe(node)


def _advise(node: Node, form: str) -> str:
    match node:
        case Sequence((Scalar(str() as name), Scalar(int() as first), Scalar(int() as end))):
            return f"write {name}[{first}:{end}]"
        case Sequence():
            return "is there a '- ' too many?"
        case Mapping() if _MERGEKIT & set(node.names):
            return f"these are mergekit's keys; its files have 'merge_method' at the top. In a stacker spec {form}"
        case Mapping(((key, Sequence((Scalar(int()), Scalar(int())) as bounds)),)):
            start, stop = (to_data(bound) for bound in bounds)
            return f"write {key.text}[{start}:{stop}]"
        case Mapping(((key, Scalar(_, text)),)) if re.fullmatch(r"\[?[0-9:]+\]?", text):
            return f"write {key.text}[{text.strip('[]')}]"
        case Mapping(((key, Scalar(value)),)) if _OPEN_SLICE.fullmatch(key.text):
            return f"close the bracket: {key.text}:{'' if value is None else value}]"
        case Mapping():
            meant = (did_you_mean(key, ITEM_KINDS) for key in node.names)
            return next((hint for hint in meant if hint.startswith("did")), form)
        case _:
            return form


ADVICE = Advice(
    shapes={
        "<donor>": DonorShape, "<adapter>": AdapterShape, "<slice>": SliceShape, "<part>": PartShape,
        "<blend>": BlendShape,
        "<crossfade>": CrossfadeShape, "<repeat>": RepeatShape, "<use>": UseShape, "output": OutputShape,
        "<tokenizer>": TokenizerShape, "tokens": TokenShape,
    },
    examples={
        "stacker": "stacker: 1", "donors": "donors: {xwin: Xwin-LM/Xwin-LM-70B-V0.1}",
        "stack": "stack: then '- xwin[0:16]'", "adapters": "adapters: [./lora, {source: owner/lora, weight: 0.5}]",
        "weight": "weight: 0.5",
        "op": "op: slerp", "over": "over: 4", "hop": "hop: 0.8", "times": "times: 2", "slice": "slice: xwin[0:16]",
        "blend": "blend: then '- xwin[0:16]' and '- euryale[0:16]'", "dtype": "dtype: bfloat16",
        "crossfade": "crossfade: then '- xwin[40:60]' and '- euryale[56:72]'", "repeat": "repeat: then '- xwin[60:64]'",
        "output": "output: {dtype: keep, shard_size: 5GB}", "shard_size": "shard_size: 5GB",
        "config_keys": "config_keys: {moe_idx: ignore}",
        "stacks": "stacks: then 'tail:' and its items", "use": "use: tail",
    },
    misfit=_explain_misfit,
    fillers={"op": "", "over": 1, "times": 1},
    renamed={
        "base_model": "mergekit's 'base_model' is 'base' here, and 'config' and 'tokenizer' name their donors",
        "tokenizer_source": "mergekit's 'tokenizer_source' is 'tokenizer' here",
        "dtype": "write at the top level: output: {dtype: bfloat16}",
        "out_dtype": "write at the top level: output: {dtype: bfloat16}",
        "hop": "it belongs to an item of the stack: {slice: \"xwin[0:16]\", hop: 0.8}",
    },
)  # fmt: skip
