"""The config.json of a stack: the template's, with everything in it that follows the layers, the ends, or the dtype.

Keys keep the template's order. What could run code or point at other files is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from stacker.arch.dimensions import collect_names, select_text_config
from stacker.arch.files.formula import FormulaError
from stacker.core.config.agreement import compare_donors
from stacker.core.config.keys import DEPTHS, unsafe_keys, without_unsafe
from stacker.core.config.layer_entries import Feeds, Following, follow_layers
from stacker.core.config.quantization import check_quantization, follow_quantization
from stacker.core.config.refusals import OutputLayer
from stacker.core.values.donor import Donor
from stacker.errors import Blame, Mark, Problem, Severity
from stacker.formats.json_object import Json
from stacker.formats.quantized import QUANTIZATION_KEYS
from stacker.tensors import CONFIG_DTYPES, Dtype

__all__ = ["compare_donors", "compile_config"]

_DTYPE_NAMES = {dtype: name for name, dtype in CONFIG_DTYPES.items()}
Entries = dict[str, Json]


def compile_config(
    template: Donor,
    layers: Sequence[Feeds],
    *,
    embed: Donor,
    head: Donor,
    dtype: Dtype | None = None,
    tied: bool | None = None,
    tokenizer: Donor | None = None,
    marks: Sequence[Mark | None] = (),
) -> tuple[Entries, tuple[Problem, ...]]:
    """The config of a stack whose output layer k is fed by the donor layers `layers[k]`, and what is wrong with it.

    `dtype` and `tied` (whether the head shares the embedding's tensor) None keep what the template says; `marks` are
    the places of the output layers in the spec. The special tokens' ids follow `tokenizer`.
    """
    places = [OutputLayer(k, tuple(feeds), marks[k] if k < len(marks) else None) for k, feeds in enumerate(layers)]
    donors = {donor.name: donor for donor in (template, embed, head, *(d for feeds in layers for d, _ in feeds))}
    config = without_unsafe(template.config)
    inner = config.get(template.architecture.scope)
    target = inner if isinstance(inner, dict) else config
    following = follow_layers(template, places, (embed, head))
    _set_layers(target, template, len(layers), following)
    _set_ends(config, target, template, embed, tied)
    _set_dtype(config, target, dtype)
    _set_quantization(config, target, template, donors.values(), places)
    if tokenizer is not None and tokenizer.name != template.name:
        _set_token_ids(target, select_text_config(tokenizer.architecture, tokenizer.config))
    _repeat(config, target, template)
    checked = (*_towers(template, embed), *_unsafe(template), *check_quantization(template, donors.values(), dtype))
    problems = [*following.problems, *checked]
    return config, tuple(problems)


def _set_layers(target: Entries, template: Donor, depth: int, following: Following) -> None:
    """The number of layers, everything sized by it, and what follows each layer."""
    architecture = template.architecture
    names = {**collect_names(architecture, template.config), "old_depth": template.depth, "depth": depth}
    if architecture.depth.text.isidentifier():
        target[architecture.depth.text] = depth
    for key in DEPTHS:
        if target.get(key) == template.depth:
            target[key] = depth
    for key, formula in architecture.sized:
        value = _value_or_none(formula, names)
        if value is not None:
            target[key] = value
    for dotted in following.drop - following.entries.keys():
        *path, key = dotted.split(".")
        _nested(target, path).pop(key, None)
    target.update(following.entries)
    if target.get("num_nextn_predict_layers"):
        target["num_nextn_predict_layers"] = 0


def _repeat(config: Entries, target: Entries, template: Donor) -> None:
    """What a wrapper's config says a second time, around the language model's own, it says alike again."""
    inner = template.config.get(template.architecture.scope)
    before = inner if isinstance(inner, dict) else {}
    for key in config.keys() & target.keys() & before.keys():
        if template.config.get(key) == before[key]:
            config[key] = target[key]


def _value_or_none(formula: Any, names: Mapping[str, Any]) -> Json:
    try:
        value: Json = formula.value(names)
    except FormulaError:
        return None
    return value


def _nested(entries: Entries, path: Sequence[str]) -> Entries:
    for key in path:
        inner = entries.get(key)
        entries = inner if isinstance(inner, dict) else {}
    return entries


def _set_ends(config: Entries, target: Entries, template: Donor, embed: Donor, tied: bool | None) -> None:
    vocab = select_text_config(embed.architecture, embed.config).get("vocab_size")
    if isinstance(vocab, int) and "vocab_size" in target:
        target["vocab_size"] = vocab
    if tied is None or not template.architecture.tied:
        return
    said = [entries for entries in (config, target) if "tie_word_embeddings" in entries]
    default = dict(template.architecture.defaults).get("tie_word_embeddings")
    before = bool(template.tied()) if template.architecture.inner else default
    if tied != before and (not said or template.architecture.inner):
        said = [config, target]
    for entries in said:
        entries["tie_word_embeddings"] = tied


def _set_dtype(config: Entries, target: Entries, dtype: Dtype | None) -> None:
    """The element type under its present key; `torch_dtype` is what transformers 4 called it."""
    for entries in (config, target):
        old = entries.get("torch_dtype")
        if "torch_dtype" in entries:
            renamed = {
                "dtype" if key == "torch_dtype" else key: value for key, value in entries.items() if key != "dtype"
            }
            renamed["dtype"] = entries.get("dtype") or old
            entries.clear()
            entries.update(renamed)
        if dtype is not None and "dtype" in entries:
            entries["dtype"] = _computed_in(dtype, entries["dtype"])
    if dtype in _DTYPE_NAMES and "dtype" not in target and "dtype" not in config:
        config["dtype"] = _computed_in(dtype, None)


def _computed_in(dtype: Dtype, before: Json) -> Json:
    """What the config says: programs compute in that type, so where the tensors are fp8 it stays what it was."""
    if dtype.bits > 8:
        return _DTYPE_NAMES.get(dtype, before)
    known = CONFIG_DTYPES.get(str(before))
    return before if known and known.bits > dtype.bits else _DTYPE_NAMES[Dtype.BF16]


def _set_quantization(
    config: Entries, target: Entries, template: Donor, donors: Iterable[Donor], places: Sequence[OutputLayer]
) -> None:
    standing: dict[str, dict[int, list[int]]] = {}
    for place in places:
        for donor, layer in place.feeds:
            standing.setdefault(donor.name, {}).setdefault(layer, []).append(place.index)
    found = follow_quantization(template, tuple(donors), standing)
    for entries in (config, target):
        entries.update({key: found for key in QUANTIZATION_KEYS if found and entries.get(key)})


def _set_token_ids(target: Entries, names: Mapping[str, Json]) -> None:
    for key in ("bos_token_id", "eos_token_id", "pad_token_id"):
        if key in names:
            target[key] = names[key]
        else:
            target.pop(key, None)


def _unsafe(template: Donor) -> Iterator[Problem]:
    for key in sorted(unsafe_keys(dict(template.config))):
        message = (
            f"config.json of '{template.name}' has '{key}', which can run code or read other files; it is left out"
        )
        hint = "the result loads where the program itself knows this family"
        yield Problem(message, hint, severity=Severity.WARNING, blame=Blame.UNSAFE)


def _towers(template: Donor, embed: Donor) -> Iterator[Problem]:
    """A wrapper's towers are the embedding's donor's, so the config must be of such towers."""
    if not template.architecture.inner or embed.name == template.name:
        return
    scope = template.architecture.scope
    for key, mine in template.config.items():
        theirs = embed.config.get(key)
        if key != scope and isinstance(mine, dict) and "model_type" in mine and mine != theirs:
            message = (
                f"'{key}' of '{template.name}' is another than that of '{embed.name}', whose towers the stack gets"
            )
            yield Problem(message, f"take both from one donor: `config: {embed.name}`", blame=Blame.DONOR)
