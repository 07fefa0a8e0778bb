"""`tools/derive-architecture MODEL_TYPE`: print a draft of architectures/MODEL_TYPE.yaml. A person checks it."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from stacker.arch.model import LayerRule, WriteKind
from tools.derive.draft import MOE_DIMENSIONS, PARENT, draft_parts, followed, parent_sections, see

_WORD = re.compile(r"[A-Za-z_]\w*")
_QUOTED = re.compile(r'"[^"]*"')
_NOT_ENTRIES = {"i", "depth", "if", "else", "in", "and", "or", "not", "is", "None", "len", "str", "model_type"}
_SWITCHES = ("num_experts_per_tok", "norm_topk_prob")


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools/derive-architecture", description=__doc__)
    parser.add_argument("model_type")
    print(draft(parser.parse_args().model_type))
    return 0


def draft(model_type: str) -> str:
    """The text of a family's file; what nothing explains is marked UNKNOWN."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from tools.derive.samples import make_samples

    seen = see(*make_samples(model_type))
    parts, parent = draft_parts(seen), parent_sections()
    own = {"embed": parts.embed, "layer": parts.layer, "head": _with_head(parts.head)}
    texts = {key: _over(parent[key], lines) for key, lines in own.items()}
    used = " ".join(text for lines in own.values() for text in lines.values())
    lines = [f"# {model_type}.", f"family: {model_type}", f"like: {PARENT}", f"model_types: [{model_type}]"]
    if seen.family.depth.text != "num_hidden_layers":
        lines.append(f"depth: {seen.family.depth.text}")
    if seen.family.prefix != "model.layers.{i}.":
        lines.append(f"prefix: {seen.family.prefix}")
    defaults = _defaults(model_type, used, seen.sized[0].config)
    lines += ["", f"defaults: {json.dumps(defaults)}"] if defaults else []
    dimensions = {key: text for key, text in MOE_DIMENSIONS.items() if re.search(rf"\b{key}\b", used)}
    lines += _section("dimensions", dimensions)
    for key, changed in texts.items():
        lines += _section(key, changed)
    rules = [line for rule in followed(seen) for line in _rule(rule, seen.sized[0].config)]
    lines += ["", "per_layer:", *rules] if rules else []
    agree = _agree(used, seen.sized[0].config, parent["dimensions"])
    return "\n".join([*lines, *(["", f"agree: [{', '.join(agree)}]"] if agree else [])])


def _agree(used: str, config: Mapping[str, Any], dimensions: Mapping[str, str]) -> list[str]:
    """Entries that donors must share: sizes that no dimension names, and how experts are chosen."""
    asked = {word for word in _WORD.findall(used) if type(config.get(word)) is int} - dimensions.keys()
    return sorted(asked) + [key for key in _SWITCHES if key in config]


def _with_head(head: dict[str, str]) -> dict[str, str]:
    """The head is not saved where it is tied; its name is the relative's."""
    saved = any(text.startswith("head ") for text in head.values())
    return head if saved else {**head, "lm_head.weight": "head [vocab, hidden]"}


def _over(parent: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """What differs from the parent's; `null` takes away."""
    changed = {name: text for name, text in own.items() if parent.get(name) != text}
    return changed | dict.fromkeys((name for name in parent if name not in own), "null")


def _section(key: str, lines: Mapping[str, str]) -> list[str]:
    return ["", f"{key}:", *(f"  {name}: {text}" for name, text in lines.items())] if lines else []


def _defaults(model_type: str, used: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """What an absent entry means, where a formula asks for it: the config class's own defaults."""
    from transformers import AutoConfig

    fields = {field.name: field.default for field in dataclasses.fields(type(AutoConfig.for_model(model_type)))}
    asked = {*_WORD.findall(used), "tie_word_embeddings", "head_dim", "num_key_value_heads"} & fields.keys()
    kept = {key: fields[key] for key in sorted(asked) if isinstance(fields[key], bool | int) and key in config}
    same = {"tie_word_embeddings": False, "attention_bias": False, "mlp_bias": False}
    return {key: value for key, value in kept.items() if same.get(key) is not value}


def _asked(formula: str) -> set[str]:
    """The config entries that a formula speaks of."""
    return set(_WORD.findall(_QUOTED.sub("", formula))) - _NOT_ENTRIES


def _rule(rule: LayerRule, config: Mapping[str, Any]) -> Iterator[str]:
    """A rule with the readers that this config has the entries for; what older ones had is for a person to add."""
    yield f"  {rule.name}:"
    readers = [reader.text for reader in rule.read if _asked(reader.text) <= config.keys()]
    if len(readers) == 1:
        yield f"    read: {_quoted(readers[0])}"
    else:
        yield "    read:"
        yield from (f"      - {_quoted(reader)}" for reader in readers)
    yield f"    write: {rule.write}" + (f" {rule.key}" if rule.key else "")
    drop = [key for key in rule.drop if key in config]
    if drop:
        yield f"    drop: [{', '.join(drop)}]"
    if rule.put:
        yield f"    put: {json.dumps(dict(rule.put))}"
    if rule.reason and rule.write is not WriteKind.LIST:
        yield f"    reason: {rule.reason}"


def _quoted(text: str) -> str:
    return f"'{text}'" if text.startswith(('"', "[", "(", "{", "not ")) else text


if __name__ == "__main__":
    sys.exit(main())
