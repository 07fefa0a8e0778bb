"""Naming conventions for model families without a file of their own, from the packaged `inferred.yaml`.

They give the role of a tensor and the meaning of a config key by name alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache

from stacker.arch.families import read_packaged_text
from stacker.arch.files.architecture import LayerRule
from stacker.arch.files.document import Entries, expect_text, read_entries, read_pairs, read_texts
from stacker.arch.files.formula import Formula
from stacker.arch.files.parser import parse_formulas, parse_rules

_BARE = frozenset({"other", "attn.sink"})
"""Roles whose tensors are not biases even if their names end in `bias`."""
WRAPPER_ROLE = "embed.other"
"""The role of tensors in a wrapper (a model that contains a language model) but outside its language model."""
_SHARED_MODULE = "model."
"""The name prefix of a module that may contain, beside the language model, other parts such as a vision tower."""
Patterns = tuple[tuple[re.Pattern[str], str], ...]


@dataclass(frozen=True, slots=True)
class Conventions:
    """The entries of `inferred.yaml`; where several patterns match a name, the first one applies."""

    depth: tuple[str, ...]
    """Config keys that may state the number of layers."""
    scopes: tuple[str, ...]
    """Config keys that may contain a nested language model config."""
    layer: Patterns
    """Name patterns of tensors in layers (without the layer prefix), each with a role."""
    outside: Patterns
    """Name patterns of tensors outside the layers, each with a role."""
    ignored: tuple[tuple[str, str], ...]
    """Name patterns of tensors that stacks leave out, each with the reason."""
    shared: frozenset[str]
    """Config keys whose lists never have an entry for each layer, whatever their length."""
    numbered: re.Pattern[str]
    """Matches config keys whose lists contain layer indices."""
    apart: tuple[str, ...]
    """Name patterns of tensors that are stored outside the layers but belong to them (see `layer_names`)."""
    sized: tuple[tuple[str, Formula], ...]
    """Config entries that depend on the number of layers, each with a formula for its value in the stack."""
    rules: tuple[LayerRule, ...]
    """Layer rules that apply to any config that has the entries they read."""
    heads: tuple[tuple[str, str], ...]
    """Model types, each with the name that its head would have; the head is not saved because it is tied."""
    flat: tuple[tuple[str, str], ...]
    """Model types of wrappers whose config is not nested, each with the model type of its language model."""
    around: tuple[LayerRule, ...]
    """Layer rules that apply to any language model inside a wrapper."""


@cache
def read_conventions() -> Conventions:
    """The packaged conventions; the file is read on the first call only."""
    entries = read_entries(read_packaged_text("inferred"), "inferred.yaml")
    return Conventions(
        depth=read_texts(entries, "depth"),
        scopes=read_texts(entries, "scopes"),
        layer=_patterns(entries, "layer"),
        outside=_patterns(entries, "outside"),
        ignored=read_pairs(entries, "ignored"),
        shared=frozenset(read_texts(entries, "shared")),
        numbered=re.compile(expect_text(entries["numbered"])),
        apart=read_texts(entries, "apart"),
        sized=parse_formulas(entries, "sized"),
        rules=parse_rules(entries),
        heads=read_pairs(entries, "heads"),
        flat=read_pairs(entries, "flat"),
        around=parse_rules(entries, "around"),
    )


def guess_layer_role(suffix: str) -> str:
    """The role of a layer's tensor, guessed from its name without the layer prefix; `other` if no pattern matches."""
    return _match_role(suffix, read_conventions().layer, "other")


def guess_outside_role(name: str, inner: str = "") -> str:
    """The role of a tensor outside the layers, guessed from its name.

    `inner` is the name prefix of a wrapper's language model; of the tensors outside that model, a head keeps the role
    that its name implies, and all others get WRAPPER_ROLE.
    """
    if not inner:
        return _match_role(name, read_conventions().outside, "head.other")
    around = ["".join(f"{each}." for each in inner.split(".")[:count]) for count in range(inner.count("."), -1, -1)]
    start = next(each for each in around if name.startswith(each))
    default = WRAPPER_ROLE if start != inner or inner == _SHARED_MODULE else "head.other"
    role = _match_role(name.removeprefix(start), read_conventions().outside, default)
    if start == inner != _SHARED_MODULE or role.startswith("head"):
        return role
    modules = name.count(".", len(start)) if start == inner else len(name)
    own = modules <= 2 if role.startswith("embed") else modules <= 1 and role.startswith("norm.final")
    return role if own else WRAPPER_ROLE


def find_ignored_reason(name: str) -> str:
    """The reason why stacks leave out a tensor of this name, or "" if they keep it."""
    return next((reason for pattern, reason in read_conventions().ignored if fnmatchcase(name, pattern)), "")


def _match_role(name: str, patterns: Patterns, default: str) -> str:
    role = next((role for pattern, role in patterns if pattern.search(name)), default)
    if role.startswith("mlp."):
        role += ".shared" if "shared" in name else ".expert" if "expert" in name else ""
    return f"{role}.bias" if name.endswith((".bias", "_bias")) and role not in _BARE else role


def _patterns(entries: Entries, key: str) -> Patterns:
    return tuple((re.compile(pattern), role) for pattern, role in read_pairs(entries, key))
