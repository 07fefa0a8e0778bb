"""What a draft starts from: the architecture file of a related family, or only the usual names of sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stacker.arch.families import read_architecture, read_packaged_text
from stacker.arch.files.architecture import LayerRule
from stacker.arch.files.document import expect_mapping, expect_text, read_entries
from stacker.arch.files.formula import FormulaError, parse_formula
from tools.derive.samples import Sample

SECTIONS = ("embed", "layer", "head", "dimensions")
USUAL: Mapping[str, Sequence[str]] = {
    "hidden": ("hidden_size", "n_embd", "d_model"),
    "vocab": ("vocab_size",),
    "heads": ("num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads"),
    "kv_heads": ("num_key_value_heads",),
    "head_dim": ("head_dim",),
    "ffn": ("intermediate_size", "ffn_dim", "dff", "ffn_hidden_size"),
    "positions": ("n_positions",),
    "experts": ("num_local_experts", "num_experts", "n_routed_experts"),
    "expert_ffn": ("moe_intermediate_size",),
}
"""The usual dimensions of a family, each with its names in configs."""
_DERIVED = {"head_dim": "hidden // heads"}
"""Formulas of dimensions, for configs that have no entry for the dimension."""


@dataclass(frozen=True, slots=True)
class Relative:
    """The file of a related family: its name ("" if there is none), the texts of its sections, and other entries."""

    name: str
    sections: Mapping[str, Mapping[str, str]]
    defaults: Mapping[str, Any]
    rules: Sequence[LayerRule] = ()
    agree: Sequence[str] = ()
    depth: str = ""
    prefix: str = ""


def read_relative(name: str) -> Relative:
    """Read the related family to start from; an empty one if `name` is ""."""
    if not name:
        return Relative("", {key: {} for key in SECTIONS}, {})
    entries, family = read_entries(read_packaged_text(name), name, read_packaged_text), read_architecture(name)
    sections = {key: expect_mapping(entries[key]) for key in SECTIONS if key in entries}
    texts = {key: {each: expect_text(node) for each, node in sections.get(key, {}).items()} for key in SECTIONS}
    return Relative(name, texts, dict(family.defaults), family.rules, family.agree, family.depth.text, family.prefix)


def dimensions_of(relative: Relative, config: Mapping[str, Any], aliases: Mapping[str, str]) -> dict[str, str]:
    """The related family's dimensions and the usual ones that it lacks, by name: formulas over this config."""
    counted = {*config, *aliases, *aliases.values()}  # experts are counted by either word, whichever is saved
    known = {name: counted if name == "experts" else config for name in USUAL}
    own = {name: " | ".join(word for word in words if word in known[name]) for name, words in USUAL.items()}
    usual = {name: text or _DERIVED.get(name, "") for name, text in own.items()}
    return {name: text for name, text in {**usual, **relative.sections["dimensions"]}.items() if text}


def names_for(sample: Sample, relative: Relative, dimensions: Mapping[str, str]) -> dict[str, Any]:
    """The names that formulas may use in a sample, with their values; dimensions come first."""
    entries, found = {**relative.defaults, **sample.config}, dict[str, Any]()
    for name, text in dimensions.items():
        try:
            found[name] = parse_formula(text).value({**entries, **found})
        except FormulaError:
            continue
    return {**found, **{key: value for key, value in entries.items() if key not in found}}
