"""Writes a spec as native text. Parsing that text gives an equal spec."""

from __future__ import annotations

from collections.abc import Iterator

from stacker.errors import Problem, SpecError, raise_problems
from stacker.spec.language.parameter_grammar import DEFAULT, EVERYTHING, format_value
from stacker.spec.language.slice_grammar import format_slice
from stacker.spec.language.stack_spec import (
    AdapterSpec,
    BlendSpec,
    CrossfadeSpec,
    DonorSpec,
    Item,
    OutputSpec,
    Parameter,
    RepeatSpec,
    Setting,
    SliceOrBlend,
    SliceSpec,
    StackSpec,
    UseSpec,
)
from stacker.spec.language.tokenizer_grammar import format_tokenizer
from stacker.spec.language.value_grammar import KEEP, format_dtype, format_size, format_source, parse_source
from stacker.text.emitter import Flow, Tree, write_yaml


def to_native(spec: StackSpec) -> str:
    """The spec as native text.

    SpecError if another document of the same mergekit file makes one of the donors, which native text cannot express.
    """
    raise_problems(_check_sayable(spec))
    text: dict[str, Tree] = {"stacker": 1, "name": spec.name}
    text["donors"] = {donor.name: _donor_tree(donor) for donor in spec.donors}
    text["stack"] = [_item_tree(item) for item in spec.stack]
    if spec.stacks:
        text["stacks"] = {named.name: [_item_tree(item) for item in named.items] for named in spec.stacks}
    parts: dict[str, Tree] = {"embed": _part_tree(spec.embed), "head": _part_tree(spec.head)}
    rest: dict[str, Tree] = {"base": spec.base, **parts, "towers": spec.towers, "tokenizer": format_tokenizer(spec)}
    rest |= {"chat_template": spec.chat_template, "config": spec.config}
    text |= {key: value for key, value in rest.items() if value is not None}
    if spec.ignored_keys:
        text["config_keys"] = Flow(dict.fromkeys(spec.ignored_keys, "ignore"))
    if spec.output != OutputSpec():
        dtype = format_dtype(spec.output.dtype) if spec.output.dtype else KEEP
        size = spec.output.shard_size
        more = {"shard_size": format_size(size)} if size else {}
        text["output"] = Flow({"dtype": dtype, **more, **({"dequantize": True} if spec.output.dequantize else {})})
    return write_yaml(text)


def _check_sayable(spec: StackSpec) -> Iterator[Problem]:
    for donor in spec.donors:
        if donor.stage is not None:
            hint = f"put it into a file of its own, and write {donor.name}: {{stack: that-file.yml}}"
            yield Problem(f"'{donor.stack}' is another document of this text", hint, donor.mark)


def _donor_tree(donor: DonorSpec) -> Tree:
    if donor.like is None and donor.source is not None and _reads_back(donor):
        return format_source(donor)
    keys: dict[str, Tree] = {
        "source": donor.source,
        "revision": donor.revision,
        "stack": donor.stack,
        "like": donor.like,
    }
    keys = {key: value for key, value in keys.items() if value is not None}
    keys |= {"parameters": Flow(dict(donor.parameters))} if donor.parameters else {}
    if donor.adapters:
        return keys | {"adapters": [_adapter_tree(adapter) for adapter in donor.adapters]}
    return Flow(keys)


def _adapter_tree(adapter: AdapterSpec) -> Tree:
    plain = DonorSpec("adapter", adapter.source, adapter.revision)
    if adapter.weight == 1.0 and _reads_back(plain):
        return format_source(plain)
    keys: dict[str, Tree] = {"source": adapter.source, "revision": adapter.revision}
    keys |= {} if adapter.weight == 1.0 else {"weight": adapter.weight}
    return Flow({key: value for key, value in keys.items() if value is not None})


def _reads_back(donor: DonorSpec) -> bool:
    try:
        return parse_source(donor.name, format_source(donor), donor.mark) == donor
    except SpecError:
        return False


def _item_tree(item: Item) -> Tree:
    match item:
        case SliceSpec():
            return _source_tree(item)
        case BlendSpec(sources, op, settings, base, hop):
            blended: Tree = [_source_tree(source) for source in sources]
            return {"blend": blended, **_hop_tree(hop), **_op_tree(op, settings, base)}
        case CrossfadeSpec(sources, over, op, settings, base, hop):
            faded: Tree = [_source_tree(source) for source in sources]
            return {"crossfade": faded, "over": over, **_hop_tree(hop), **_op_tree(op, settings, base)}
        case RepeatSpec(items, times, scale, hop):
            body: dict[str, Tree] = {"repeat": [_item_tree(inner) for inner in items], "times": times, **_hop_tree(hop)}
            return body | ({"scale": _parameter_tree(scale)} if scale else {})
        case UseSpec(name, hop):
            return {"use": name, **_hop_tree(hop)}


def _source_tree(piece: SliceSpec) -> Tree:
    """A slice as a string, or as a mapping if it has factors or parameters."""
    if piece.scale is None and not piece.settings and piece.hop == 1.0:
        return format_slice(piece)
    text: dict[str, Tree] = {"slice": format_slice(piece), **_hop_tree(piece.hop)}
    if piece.scale is not None:
        text["scale"] = _parameter_tree(piece.scale)
    return text | _settings_tree(piece.settings)


def _hop_tree(hop: float) -> dict[str, Tree]:
    return {} if hop == 1.0 else {"hop": hop}


def _op_tree(op: str, settings: tuple[Setting, ...], base: SliceSpec | None) -> dict[str, Tree]:
    text: dict[str, Tree] = {"op": op}
    if base is not None:
        text["base"] = format_slice(base)
    return text | _settings_tree(settings)


def _settings_tree(settings: tuple[Setting, ...]) -> dict[str, Tree]:
    return {setting.name: _parameter_tree(setting.parameter) for setting in settings}


def _parameter_tree(parameter: Parameter) -> Tree:
    match parameter.rules:
        case (rule,) if rule.match == EVERYTHING:
            return format_value(rule.value)
        case rules:
            keys = (DEFAULT if rule.match == EVERYTHING else rule.match for rule in rules)
            return Flow(dict(zip(keys, (format_value(rule.value) for rule in rules), strict=True)))


def _part_tree(part: SliceOrBlend | None) -> Tree:
    return None if part is None else _item_tree(part)
