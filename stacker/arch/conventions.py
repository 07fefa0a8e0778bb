"""Guesses the role of a tensor, and the meaning of a config key, from its name alone.

The naming conventions are in the packaged file `inferred.yaml`; they serve model families without an architecture file.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache

from stacker.arch.families import read_packaged_text
from stacker.arch.files.architecture import LayerRule
from stacker.arch.files.document import Entries, expect_text, read_entries, read_pairs, read_section, read_texts
from stacker.arch.files.formula import Formula
from stacker.arch.files.parser import parse_formulas, parse_reasons, parse_rules

_BARE = frozenset({"other", "attn.sink"})
"""Roles to which no `.bias` is added, even if the name of the tensor ends in `bias`."""
WRAPPER_ROLE = "embed.other"
"""The role of a tensor that a wrapper (a model that contains a language model) has outside its language model."""
_SHARED_MODULE = "model."
"""The name prefix of a module that may contain a vision tower or the like in addition to the language model."""
_BESIDE = " beside "


@dataclass(frozen=True, slots=True)
class RolePattern:
    """A pattern for tensor names with the role of the tensors.

    If `beside` is not None, the pattern applies only if another tensor of the same part matches `beside`.
    """

    name: re.Pattern[str]
    role: str
    beside: re.Pattern[str] | None = None


Patterns = tuple[RolePattern, ...]


@dataclass(frozen=True, slots=True)
class Conventions:
    """The naming conventions in `inferred.yaml`, which serve model families without an architecture file.

    If several patterns of a field match a name, the first pattern applies.
    """

    depth: tuple[str, ...]
    """Config keys that may state the number of layers."""
    scopes: tuple[str, ...]
    """Config keys under which a wrapper may store the config of its language model."""
    layer: Patterns
    """Patterns for names of tensors in layers, without the layer prefix, each with the role of the tensors."""
    outside: Patterns
    """Patterns for names of tensors outside the layers, each with the role of the tensors."""
    ignored: tuple[tuple[str, str], ...]
    """Patterns for names of tensors that every stack omits, each with the reason."""
    shared: frozenset[str]
    """Config keys whose lists never have one entry per layer, even if a list is as long as the number of layers."""
    numbered: re.Pattern[str]
    """A pattern for config keys whose values are lists of layer indices."""
    apart: tuple[str, ...]
    """Patterns for names of tensors that are stored outside the layers but belong to layers (see `layer_names`)."""
    sized: tuple[tuple[str, Formula], ...]
    """Config keys whose values depend on the number of layers, each with a formula for the value in the new config."""
    rules: tuple[LayerRule, ...]
    """Layer rules; a rule applies to any config that has the entries that the rule reads."""
    heads: tuple[tuple[str, tuple[str, ...]], ...]
    """Names of tensors of output heads that are not saved while the head is tied.

    They are listed by model type, or by the name of another tensor that models with such a head have.
    """
    refused: tuple[tuple[str, str], ...]
    """Model types that cannot be stacked, each with the reason."""
    flat: tuple[tuple[str, str], ...]
    """Model types of wrappers with a single, flat config, each with the model type of the wrapper's language model."""
    around: tuple[LayerRule, ...]
    """Layer rules that apply to any language model inside a wrapper."""
    no_hop: tuple[tuple[Formula, str], ...]
    """Conditions under which a language model inside a wrapper cannot have hops, each with the reason."""


@cache
def read_conventions() -> Conventions:
    """Read the packaged file `inferred.yaml`, on the first call only."""
    entries = read_entries(read_packaged_text("inferred"), "inferred.yaml")
    heads = read_section(entries, "heads")
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
        heads=tuple((key, read_texts(heads, key)) for key in heads),
        refused=read_pairs(entries, "refused"),
        flat=read_pairs(entries, "flat"),
        around=parse_rules(entries, "around"),
        no_hop=parse_reasons(entries, "no_hop"),
    )


def guess_layer_role(suffix: str, siblings: Collection[str] = ()) -> str:
    """Guess the role of a layer's tensor from its name without the layer prefix; "other" if no pattern matches.

    `siblings` are the names of all tensors in layers, also without the prefix.
    """
    return _match_role(suffix, read_conventions().layer, "other", siblings)


def guess_outside_role(name: str, inner: str = "", siblings: Collection[str] = ()) -> str:
    """Guess the role of a tensor outside the layers from its name; `siblings` are the names of all such tensors.

    `inner` is the name prefix of a wrapper's language model, "" if the model is no wrapper. A tensor outside the
    language model gets WRAPPER_ROLE, unless its name is that of an output head.
    """
    if not inner:
        return _match_role(name, read_conventions().outside, "head.other", siblings)
    around = ["".join(f"{each}." for each in inner.split(".")[:count]) for count in range(inner.count("."), -1, -1)]
    start = next(each for each in around if name.startswith(each))
    default = WRAPPER_ROLE if start != inner or inner == _SHARED_MODULE else "head.other"
    role = _match_role(name.removeprefix(start), read_conventions().outside, default, siblings)
    if start == inner != _SHARED_MODULE or role.startswith("head"):
        return role
    modules = name.count(".", len(start)) if start == inner else len(name)
    own = modules <= 2 if role.startswith("embed") else modules <= 1 and role.startswith("norm.final")
    return role if own else WRAPPER_ROLE


def find_ignored_reason(name: str) -> str:
    """The reason why every stack omits a tensor with this name; "" if a tensor with this name is kept."""
    return next((reason for pattern, reason in read_conventions().ignored if fnmatchcase(name, pattern)), "")


def name_tied_heads(model_type: str, names: Collection[str]) -> tuple[str, ...]:
    """The names of the head's tensors that a checkpoint with the tensors `names` leaves out while the head is tied.

    Empty if neither the model type nor another tensor of the head is known; most families have "lm_head.weight".
    """
    return next((heads for key, heads in read_conventions().heads if key in (model_type, *names)), ())


def _match_role(name: str, patterns: Patterns, default: str, siblings: Collection[str]) -> str:
    role = next((each.role for each in patterns if _fits(name, each, siblings)), default)
    if role.startswith("mlp."):
        role += ".shared" if "shared" in name else ".expert" if "expert" in name else ""
    return f"{role}.bias" if name.endswith((".bias", "_bias")) and role not in _BARE else role


def _fits(name: str, pattern: RolePattern, siblings: Collection[str]) -> bool:
    beside = pattern.beside
    return bool(pattern.name.search(name)) and (beside is None or any(beside.search(other) for other in siblings))


def _patterns(entries: Entries, key: str) -> Patterns:
    """Read patterns of the form `pattern: role` or `pattern beside pattern: role`."""
    found = ((*name.split(_BESIDE), role) for name, role in read_pairs(entries, key))
    return tuple(
        RolePattern(re.compile(name), role, re.compile(beside[0]) if beside else None) for name, *beside, role in found
    )
