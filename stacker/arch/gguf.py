"""Finds the description of an architecture of llama.cpp, by which GGUF files are read and written.

`_gguf.yaml` describes what all have in common. The section `gguf` of a family's file extends it for the architectures
that it lists.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from stacker.arch.conventions import read_conventions
from stacker.arch.dimensions import collect_names, count_layers, count_prediction_layers, select_text_config
from stacker.arch.families import list_families, read_packaged_text
from stacker.arch.files.architecture import Architecture, Config
from stacker.arch.files.document import Entries, expect_mapping, merge_entries, read_entries, read_pairs, read_texts
from stacker.arch.files.parser import build_architecture
from stacker.arch.layer_rules import infer_index_rules, infer_list_rules, is_applicable
from stacker.errors import DonorError, escape_text
from stacker.formats.json_object import Json

_COMMON = "_gguf"
_TABLES = ("plain", "others", "refused")
_LISTED = re.compile(r"^gguf:\s*\{?\s*architectures: *\[([^]]*)\]", re.MULTILINE)
MOST_LAYERS = 512
"""The most layers that llama.cpp loads (LLAMA_MAX_LAYERS)."""


def find_gguf_architecture(config: Config, extra: Mapping[str, Json]) -> Architecture:
    """The architecture of a GGUF file with the metadata `config`, with a rule for each list with an entry per layer.

    `extra` has values that formulas may use beside the metadata. DonorError if such a file cannot be stacked.
    """
    name = config.get("general.architecture")
    if not isinstance(name, str) or not name:
        raise DonorError.of("the metadata has no 'general.architecture'", "convert the model again")
    refused = dict(read_pairs(_read_common(), "refused")).get(name)
    if refused:
        raise DonorError.of(f"files of the architecture '{escape_text(name)}' cannot be stacked: {refused}")
    known = _read_architecture(name)
    known = replace(known, scope=f"{name}.", defaults=(*known.defaults, *extra.items()))
    return _infer_rules(known, config)


def _infer_rules(architecture: Architecture, config: Config) -> Architecture:
    """Add a rule for each list of the metadata that has an entry for each layer, or that lists layers by index."""
    entries = select_text_config(architecture, config)
    depth = count_layers(architecture, config)
    names = {**collect_names(architecture, config), "depth": depth}
    stated = tuple(rule for rule in architecture.rules if is_applicable(rule, names))
    rules = (*stated, *infer_list_rules(entries, stated, depth, frozenset()))
    whole = depth + count_prediction_layers(entries)
    return replace(architecture, rules=(*rules, *infer_index_rules(entries, rules, whole, read_conventions().numbered)))


@cache
def _read_architecture(name: str) -> Architecture:
    """The description of the architecture `name` of llama.cpp; the common one, marked as inferred, if it is unknown."""
    common = _read_common()
    shared = {key: node for key, node in common.items() if key not in _TABLES}
    own = _find_section(name)
    source = f"{_COMMON}.yaml"
    entries = merge_entries(shared, {key: node for key, node in (own or {}).items() if key not in _OWN})
    built = build_architecture(entries, source)
    known = own is not None or name in read_texts(common, "plain")
    return replace(built, name=name, no_head="no_head" in (own or {}), inferred=not known)


_OWN = ("architectures", "no_head")


def _find_section(name: str) -> Entries | None:
    """The entries by which an architecture differs from the common description; None if no file mentions it."""
    others = expect_mapping(_read_common()["others"])
    if name in others:
        return expect_mapping(others[name])
    family = next((family for family in list_families() if name in _list_names(family)), None)
    if family is None:
        return None
    entries = read_entries(read_packaged_text(family), f"{family}.yaml", read_packaged_text)
    return expect_mapping(entries["gguf"])


def list_gguf_names(family: str) -> tuple[str, ...]:
    """The architectures of llama.cpp that the file of a family describes."""
    return tuple(sorted(_list_names(family)))


@cache
def _list_names(family: str) -> frozenset[str]:
    found = _LISTED.search(read_packaged_text(family))
    return frozenset(found[1].replace(",", " ").split()) if found else frozenset()


@cache
def _read_common() -> Entries:
    return read_entries(read_packaged_text(_COMMON), f"{_COMMON}.yaml")
