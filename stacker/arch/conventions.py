"""What names and config keys mean in families nobody described: the packaged `inferred.yaml` as a value."""

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
"""Roles whose tensors are called biases now and then, and are none."""
WRAPPER_ROLE = "embed.other"
"""The role of what a wrapper has beside its language model."""
_EVERYBODYS = "model."
"""A module that towers may be in as well as the language model."""
Patterns = tuple[tuple[re.Pattern[str], str], ...]


@dataclass(frozen=True, slots=True)
class Conventions:
    """What to try, in order.

    `layer` and `outside` give the role of a tensor by the first pattern found in its name; `ignored` the reason why no
    stack carries it. `depth` and `scopes` are config keys; `shared` are keys whose lists never are one entry a layer,
    `numbered` how lists of layers by number are called;
    `apart` are names of what a layer has outside the layers; `heads` names heads that are not
    saved while they are tied, by model type. `flat` are wrappers whose configs may hold the language model's entries
    without nesting them, with its family; the rules `around` hold for any language model in a wrapper.
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
    """The packaged guesses."""
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
    """The role of a layer's tensor by its name after the layer prefix."""
    return _guess(suffix, read_conventions().layer, "other")


def guess_outside_role(name: str, inner: str = "") -> str:
    """The role of a tensor outside the layers; those of `embed` act before them, the others after.

    `inner` is how the names of a wrapper's language model begin. All else of a wrapper acts before the layers; its head
    may stand there, or one or all modules further out.
    """
    if not inner:
        return _guess(name, read_conventions().outside, "head.other")
    around = ["".join(f"{each}." for each in inner.split(".")[:count]) for count in range(inner.count("."), -1, -1)]
    start = next(each for each in around if name.startswith(each))
    otherwise = WRAPPER_ROLE if start != inner or inner == _EVERYBODYS else "head.other"
    role = _guess(name.removeprefix(start), read_conventions().outside, otherwise)
    if start == inner != _EVERYBODYS or role.startswith("head"):
        return role
    modules = name.count(".", len(start)) if start == inner else len(name)
    own = modules <= 2 if role.startswith("embed") else modules <= 1 and role.startswith("norm.final")
    return role if own else WRAPPER_ROLE


def find_ignored_reason(name: str) -> str:
    """Why no stack carries a tensor of this name, or ""."""
    return next((reason for pattern, reason in read_conventions().ignored if fnmatchcase(name, pattern)), "")


def _guess(name: str, patterns: Patterns, otherwise: str) -> str:
    role = next((role for pattern, role in patterns if pattern.search(name)), otherwise)
    if role.startswith("mlp."):
        role += ".shared" if "shared" in name else ".expert" if "expert" in name else ""
    return f"{role}.bias" if name.endswith((".bias", "_bias")) and role not in _BARE else role


def _patterns(entries: Entries, key: str) -> Patterns:
    return tuple((re.compile(pattern), role) for pattern, role in read_pairs(entries, key))
