"""Writes the text of a drafted architecture file: section by section, only what differs from the related family."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from stacker.arch.files.architecture import LayerRule, WriteKind
from tools.derive.draft import RULE_NAMES, Parts, Structure
from tools.derive.relative import USUAL, Relative

_WORD = re.compile(r"[A-Za-z_]\w*")
_QUOTED = re.compile(r'"[^"]*"')
_NOT_ENTRIES = {"i", "depth", "if", "else", "in", "and", "or", "not", "is", "None", "len", "str", "model_type"}
_BY_FAMILY = re.compile(r"\((.*)\) if model_type in \[.*\] else None", re.DOTALL)
_SWITCHES = ("num_experts_per_tok", "moe_topk", "norm_topk_prob")
_LEFT_OUT = ("head_dim", "num_key_value_heads")
_ALWAYS_SAID = {word for words in USUAL.values() for word in words} - {*_LEFT_OUT}
_FALSE = ("tie_word_embeddings", "attention_bias", "mlp_bias")


def page_text(name: str, seen: Structure, parts: Parts, dimensions: Mapping[str, str], usual: Mapping[str, Any]) -> str:
    """The text of the architecture file; `usual` has the defaults of the family's config class."""
    relative, config = seen.relative, seen.samples.sized[0].config
    own = {"embed": parts.embed, "layer": parts.layer, "head": _add_tied_head(seen, parts.head)}
    used = " ".join(text for lines in own.values() for text in lines.values())
    sizes = {key: text for key, text in dimensions.items() if relative.name or key in _names_in(used, dimensions)}
    changed = {key: text for key, text in sizes.items() if _is_new(key, text, relative, used)}
    lines = [f"# {name}.", f"family: {name}"]
    lines += [f"like: {relative.name}"] if relative.name else []
    lines += [f"model_types: [{name}]"]
    lines += [f"depth: {seen.family.depth.text}"] if seen.family.depth.text != relative.depth else []
    lines += [f"prefix: {seen.family.prefix}"] if seen.family.prefix != relative.prefix else []
    asked = used + " " + " ".join([*sizes.values(), *(text.text for rule in seen.family.rules for text in rule.read)])
    lines += _defaults_section(relative, asked, config, usual)
    lines += _section("dimensions", changed)
    for key, texts in own.items():
        lines += _section(key, _differences(relative.sections[key], texts))
    lines += _rules_section(seen.family.rules, relative, config)
    if seen.family.tied and not relative.name:
        lines += ["", "tied: {{{}: {}}}".format(*seen.family.tied[0])]
    agree = dict.fromkeys([*relative.agree, *_agree_keys(used, config, sizes)])
    lines += ["", f"agree: [{', '.join(agree)}]"] if [*agree] != [*relative.agree] else []
    return "\n".join(lines)


def _names_in(used: str, dimensions: Mapping[str, str]) -> set[str]:
    """The names in the text `used`, and the names in the formulas of the dimensions that it mentions."""
    words = set(_WORD.findall(used))
    return words.union(*(_WORD.findall(text) for key, text in dimensions.items() if key in words))


def _is_new(key: str, text: str, relative: Relative, used: str) -> bool:
    """Whether the file needs a dimension: a size uses it, and the related family lacks it or has another formula."""
    below = relative.sections["dimensions"].get(key)
    return not relative.name or (below != text and bool(re.search(rf"\b{key}\b", used)))


def _agree_keys(used: str, config: Mapping[str, Any], dimensions: Mapping[str, str]) -> list[str]:
    """Config entries that all donors must share: sizes that are no dimension, and how experts are selected."""
    asked = {word for word in _WORD.findall(used) if type(config.get(word)) in (int, bool)} - dimensions.keys()
    return sorted(asked) + [key for key in _SWITCHES if key in config]


def _add_tied_head(seen: Structure, head: dict[str, str]) -> dict[str, str]:
    """The tensors of the head; a tied head tensor is added, because it is not saved."""
    saved = any(text.startswith("head ") for text in head.values())
    return head if saved or not seen.family.tied else {**head, seen.family.tied[0][0]: "head [vocab, hidden]"}


def _differences(below: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """The entries of `own` that differ from those `below`, the related family's; `null` removes an entry."""
    changed = {name: text for name, text in own.items() if below.get(name) != text}
    return changed | dict.fromkeys((name for name in below if name not in own), "null")


def _section(key: str, lines: Mapping[str, str]) -> list[str]:
    return ["", f"{key}:", *(f"  {name}: {text}" for name, text in lines.items())] if lines else []


def _defaults_section(relative: Relative, asked: str, config: Mapping[str, Any], usual: Mapping[str, Any]) -> list[str]:
    """The section with the config class's defaults for entries that a formula uses; empty if there are none."""
    words = ({*_WORD.findall(asked), "tie_word_embeddings", *_LEFT_OUT} & usual.keys()) - _ALWAYS_SAID
    kept = {key: usual[key] for key in sorted(words) if isinstance(usual[key], bool | int) and key in config}
    below = relative.defaults if relative.name else dict.fromkeys(_FALSE, False)
    new = {key: value for key, value in kept.items() if key not in below or repr(below[key]) != repr(value)}
    text = ", ".join(f"{key}: {json.dumps(value)}" for key, value in new.items())
    return ["", f"defaults: {{{text}}}"] if new else []


def _rules_section(rules: Iterable[LayerRule], relative: Relative, config: Mapping[str, Any]) -> list[str]:
    named = {RULE_NAMES.get(rule.name, rule.name): rule for rule in rules}
    gone = [f"  {rule.name}: null" for rule in relative.rules if rule.name not in named]
    below = {rule.name: rule for rule in relative.rules}
    new = {name: rule for name, rule in named.items() if name not in below or not _is_same(rule, below[name], config)}
    lines = [*gone, *(line for name, rule in new.items() for line in _rule_lines(name, rule, config))]
    return ["", "per_layer:", *lines] if lines else []


def _is_same(rule: LayerRule, below: LayerRule, config: Mapping[str, Any]) -> bool:
    """Whether the related family's rule `below` writes the same entry and has all readers of `rule`."""
    readers = {reader.text for reader in below.read}
    return (rule.write, rule.key) == (below.write, below.key) and readers >= set(_readers(rule, config))


def _readers(rule: LayerRule, config: Mapping[str, Any]) -> list[str]:
    """The readers of a rule whose config entries all exist in this config."""
    return [_BY_FAMILY.sub(r"\1", reader.text) for reader in rule.read if _keys_in(reader.text) <= config.keys()]


def _rule_lines(name: str, rule: LayerRule, config: Mapping[str, Any]) -> Iterator[str]:
    """The lines of a rule in the file; readers for older configs must be added by hand."""
    yield f"  {name}:"
    readers = _readers(rule, config)
    if len(readers) == 1:
        yield f"    read: {_quote(readers[0])}"
    else:
        yield "    read:"
        yield from (f"      - {_quote(reader)}" for reader in readers)
    yield f"    write: {rule.write}" + (f" {rule.key}" if rule.key else "")
    if rule.over:
        yield f"    over: {{{', '.join(f'{key}: {_quote_in_mapping(formula.text)}' for key, formula in rule.over)}}}"
    drop = [key for key in rule.drop if key in config]
    if drop:
        yield f"    drop: [{', '.join(drop)}]"
    if rule.put:
        yield f"    put: {{{', '.join(f'{key}: {json.dumps(value)}' for key, value in rule.put)}}}"
    if rule.reason and rule.write is not WriteKind.LIST:
        yield f"    reason: {rule.reason}"


def _keys_in(formula: str) -> set[str]:
    """The config entries that a formula uses."""
    return set(_WORD.findall(_QUOTED.sub("", formula))) - _NOT_ENTRIES


def _quote_in_mapping(text: str) -> str:
    """A formula, quoted if a YAML mapping on one line needs it."""
    return f'"{text}"' if "," in text or text.startswith("[") else text


def _quote(text: str) -> str:
    return f"'{text}'" if text.startswith(('"', "[", "(", "{", "not ")) else text
