"""Compiles the config.json of a stack from the config of its template, the donor that the spec chooses for the config.

Keys keep the template's order, and keys that could run code or refer to other files are left out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from stacker.arch.dimensions import PREDICTION_KEYS, collect_names, select_text_config
from stacker.arch.files.formula import FormulaError
from stacker.core.config.bindings import check_bindings
from stacker.core.config.head_class import check_head_class, set_head_class
from stacker.core.config.keys import DEPTH_KEYS, find_reported_keys, remove_unsafe_keys
from stacker.core.config.layer_entries import Feeds, LayerEntries, apply_layer_rules
from stacker.core.config.quantization import check_quantization, renumber_quantization
from stacker.core.config.refusals import OutputLayer
from stacker.core.stack.graph import StackGraph
from stacker.core.values.donor import Donor
from stacker.errors import Blame, Mark, Problem, Severity
from stacker.formats.json_object import Json
from stacker.formats.quantized import QUANTIZATION_KEYS
from stacker.spec.language.stack_spec import StackSpec
from stacker.tensors import CONFIG_DTYPES, Dtype

_DTYPE_NAMES = {dtype: name for name, dtype in CONFIG_DTYPES.items()}
Entries = dict[str, Json]


def compile_stack_config(
    spec: StackSpec, graph: StackGraph, donors: Mapping[str, Donor], *, tied: bool | None
) -> tuple[Entries, tuple[Problem, ...]]:
    """Return the config.json of a stack and its problems; `tied` is None while the tensors are not planned."""
    return compile_config(
        donors[graph.template],
        [[(donors[feed.donor], feed.layer or 0) for feed in node.feeds] for node in graph.layers],
        embed=donors[graph.embed.feeds[0].donor],
        head=donors[graph.head.feeds[0].donor],
        towers=donors[graph.towers] if graph.towers else None,
        dtype=spec.output.dtype,
        tied=tied,
        tokenizer=donors[graph.tokenizer],
        marks=[node.mark for node in graph.layers],
        ignored_keys=spec.ignored_keys,
    )


def compile_config(
    template: Donor,
    layers: Sequence[Feeds],
    *,
    embed: Donor,
    head: Donor,
    towers: Donor | None = None,
    dtype: Dtype | None = None,
    tied: bool | None = None,
    tokenizer: Donor | None = None,
    marks: Sequence[Mark | None] = (),
    ignored_keys: Collection[str] = (),
) -> tuple[Entries, tuple[Problem, ...]]:
    """Return the stack's config and its problems; output layer k is made from the donor layers `layers[k]`.

    `embed`, `head`, `towers` (None: the embedding's donor) and `tokenizer` are the donors of these parts; `marks` has
    the place of each output layer in the spec. If `dtype`, `tied` (whether the head shares the embedding's tensor) or
    `tokenizer` is None, the config keeps the template's value.
    """
    outputs = [OutputLayer(k, tuple(feeds), marks[k] if k < len(marks) else None) for k, feeds in enumerate(layers)]
    donors = {donor.name: donor for donor in (template, embed, head, *(d for feeds in layers for d, _ in feeds))}
    config = remove_unsafe_keys(template.config)
    inner = config.get(template.architecture.scope)
    target = inner if isinstance(inner, dict) else config
    changes = apply_layer_rules(template, outputs, (embed, head))
    _set_layers(target, template, len(layers), changes)
    _set_ends(config, target, template, (embed, head), tied)
    _set_dtype(config, target, dtype)
    _repeat_rotary_base(target)
    _set_quantization(config, target, template, donors.values(), outputs)
    _set_token_ids(target, tokenizer or template, template)
    _update_repeated_entries(config, target, template)
    checked = (
        *_check_towers(template, towers or embed),
        *check_head_class(template, head),
        *_report_unsafe_keys(template),
        *check_bindings(template, outputs, ignored_keys),
        *check_quantization(template, donors.values(), dtype),
    )
    return config, (*changes.problems, *checked)


def _set_layers(target: Entries, template: Donor, depth: int, changes: LayerEntries) -> None:
    """Set the new number of layers, the entries that depend on it and the per-layer entries in the config `target`."""
    architecture = template.architecture
    names = {**collect_names(architecture, template.config), "old_depth": template.depth, "depth": depth}
    if architecture.depth.text.isidentifier():
        target[architecture.depth.text] = depth
    for key in DEPTH_KEYS:
        if target.get(key) == template.depth:
            target[key] = depth
    for key, formula in architecture.sized:
        value = _evaluate(formula, names)
        if value is not None:
            target[key] = value
    for dotted in changes.drop - changes.entries.keys():
        *path, key = dotted.split(".")
        _find_nested(target, path).pop(key, None)
    target.update(changes.entries)
    target.update({key: 0 for key in PREDICTION_KEYS if target.get(key)})


def _update_repeated_entries(config: Entries, target: Entries, template: Donor) -> None:
    """Update outer config entries of a multimodal model that repeat an entry of the nested language model config."""
    inner = template.config.get(template.architecture.scope)
    before = inner if isinstance(inner, dict) else {}
    for key in config.keys() & target.keys() & before.keys():
        if template.config.get(key) == before[key]:
            config[key] = target[key]


def _evaluate(formula: Any, names: Mapping[str, Any]) -> Json:
    try:
        value: Json = formula.value(names)
    except FormulaError:
        return None
    return value


def _find_nested(entries: Entries, path: Sequence[str]) -> Entries:
    for key in path:
        inner = entries.get(key)
        entries = inner if isinstance(inner, dict) else {}
    return entries


def _set_ends(config: Entries, target: Entries, template: Donor, ends: tuple[Donor, Donor], tied: bool | None) -> None:
    """Set the vocabulary size, the kind of head, and whether it is tied; without a head, the last keeps its value."""
    embed, head = ends
    set_head_class(config, template, head)
    vocab = select_text_config(embed.architecture, embed.config).get("vocab_size")
    if isinstance(vocab, int) and "vocab_size" in target:
        target["vocab_size"] = vocab
    if tied is None or not head.architecture.tied:
        return
    stated = [entries for entries in (config, target) if "tie_word_embeddings" in entries]
    default = dict(template.architecture.defaults).get("tie_word_embeddings")
    before = bool(template.tied()) if template.architecture.inner else default
    if tied != before and (not stated or template.architecture.inner):
        stated = [config, target]
    for entries in stated:
        entries["tie_word_embeddings"] = tied


def _repeat_rotary_base(target: Entries) -> None:
    """Copy `rope_theta` out of `rope_parameters` to where programs older than that entry look for it."""
    parameters = target.get("rope_parameters")
    base = parameters.get("rope_theta") if isinstance(parameters, dict) else None
    if isinstance(base, int | float) and "rope_theta" not in target:
        target["rope_theta"] = base


def _set_dtype(config: Entries, target: Entries, dtype: Dtype | None) -> None:
    """Rename the key `torch_dtype` of transformers 4 to `dtype`; unless `dtype` is None, set the entry to that type."""
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
            entries["dtype"] = _dtype_entry(dtype, entries["dtype"])
    if dtype in _DTYPE_NAMES and "dtype" not in target and "dtype" not in config:
        config["dtype"] = _dtype_entry(dtype, None)


def _dtype_entry(dtype: Dtype, before: Json) -> Json:
    """The config's entry for the element type to compute in, if the tensors are stored in the type `dtype`.

    That is `dtype` itself if it has more than 8 bits. Otherwise the old entry `before` is kept if it names a wider
    type, and bfloat16 is used if it does not.
    """
    if dtype.bits > 8:
        return _DTYPE_NAMES.get(dtype, before)
    known = CONFIG_DTYPES.get(str(before))
    return before if known and known.bits > dtype.bits else _DTYPE_NAMES[Dtype.BF16]


def _set_quantization(
    config: Entries, target: Entries, template: Donor, donors: Iterable[Donor], outputs: Sequence[OutputLayer]
) -> None:
    indices: dict[str, dict[int, list[int]]] = {}
    for output in outputs:
        for donor, layer in output.feeds:
            indices.setdefault(donor.name, {}).setdefault(layer, []).append(output.index)
    renumbered = renumber_quantization(template, tuple(donors), indices)
    for entries in (config, target):
        entries.update({key: renumbered for key in QUANTIZATION_KEYS if renumbered and entries.get(key)})


def _set_token_ids(target: Entries, tokenizer: Donor, template: Donor) -> None:
    """Set the ids of special tokens to those of the tokenizer's donor, if it is not the template."""
    if tokenizer.name == template.name:
        return
    names = select_text_config(tokenizer.architecture, tokenizer.config)
    for key in ("bos_token_id", "eos_token_id", "pad_token_id"):
        if key in names:
            target[key] = names[key]
        else:
            target.pop(key, None)


def _report_unsafe_keys(template: Donor) -> Iterator[Problem]:
    for key in sorted(find_reported_keys(dict(template.config))):
        message = (
            f"config.json of '{template.name}' has '{key}', which can run code or read other files; it is left out"
        )
        hint = "the result loads where the program itself knows this family"
        yield Problem(message, hint, severity=Severity.WARNING, blame=Blame.UNSAFE)


def _check_towers(template: Donor, donor: Donor) -> Iterator[Problem]:
    """Report towers (such as a vision encoder) whose config differs between the template and `donor`.

    The stack takes the towers' tensors from `donor`, but their config from the template.
    """
    if not template.architecture.inner or donor.name == template.name:
        return
    if not donor.architecture.inner:
        message = f"'{donor.name}' has nothing beside its language model, but the config of '{template.name}' needs it"
        yield Problem(message, f"write `towers: {template.name}`", blame=Blame.DONOR)
    scope = template.architecture.scope
    for key, mine in template.config.items():
        theirs = donor.config.get(key)
        differs = key != scope and isinstance(mine, dict) and "model_type" in mine and mine != theirs
        if differs and donor.architecture.inner:
            message = f"'{key}' of '{template.name}' differs from that of '{donor.name}', whose towers the stack gets"
            yield Problem(message, f"take both from one donor: `config: {donor.name}`", blame=Blame.DONOR)
