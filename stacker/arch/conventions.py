"""Naming conventions for families without a file, from the packaged `inferred.yaml`.

They tell the role of a tensor and the meaning of a config key by name alone.
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
"""Roles whose tensors may have a name ending in `bias` without being one."""
WRAPPER_ROLE = "embed.other"
"""The role of a wrapper's tensors outside its language model."""
_SHARED_MODULE = "model."
"""A module that may hold other towers as well as the language model."""
Patterns = tuple[tuple[re.Pattern[str], str], ...]


@dataclass(frozen=True, slots=True)
class Conventions:
    """The entries of `inferred.yaml`; of several that apply, the first counts.

    `layer` and `outside` map name patterns to roles, `ignored` maps name patterns to the reason why stacks leave out
    the tensor. `depth` and `scopes` are config keys; lists under the keys `shared` are never per layer, and keys that
    match `numbered` hold layer indices. `apart` are names of layers' tensors outside the layers. `heads` maps model
    types to the name of a tied head that is not saved. `flat` maps wrappers whose config does not nest the language
    model's entries to its family; the rules `around` apply to any language model in a wrapper.
    """

    depth: tuple[str, ...]
    scopes: tuple[str, ...]
    layer: Patterns
    outside: Patterns
    ignored: tuple[tuple[str, str], ...]
    shared: frozenset[str]
    numbered: re.Pattern[str]
    apart: tuple[str, ...]
    sized: tuple[tuple[str, Formula], ...]
    rules: tuple[LayerRule, ...]
    heads: tuple[tuple[str, str], ...]
    flat: tuple[tuple[str, str], ...]
    around: tuple[LayerRule, ...]


@cache
def read_conventions() -> Conventions:
    """The packaged conventions, read once."""
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
    """The role of a layer's tensor, from its name after the layer prefix."""
    return _match_role(suffix, read_conventions().layer, "other")


def guess_outside_role(name: str, inner: str = "") -> str:
    """The role of a tensor outside the layers; those of `embed` act before the layers, the others after them.

    `inner` is the name prefix of a wrapper's language model. The wrapper's other tensors act before the layers, except
    for its head, which may be in the language model's module or in one that contains it.
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
    """The reason why stacks leave out tensors of this name, "" if they do not."""
    return next((reason for pattern, reason in read_conventions().ignored if fnmatchcase(name, pattern)), "")


def _match_role(name: str, patterns: Patterns, default: str) -> str:
    role = next((role for pattern, role in patterns if pattern.search(name)), default)
    if role.startswith("mlp."):
        role += ".shared" if "shared" in name else ".expert" if "expert" in name else ""
    return f"{role}.bias" if name.endswith((".bias", "_bias")) and role not in _BARE else role


def _patterns(entries: Entries, key: str) -> Patterns:
    return tuple((re.compile(pattern), role) for pattern, role in read_pairs(entries, key))
