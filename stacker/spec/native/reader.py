"""Reads a native spec into a StackSpec. Problems are collected, and reading goes on with the parts that are valid."""

from __future__ import annotations

from dataclasses import replace

from stacker.errors import Mark, Problem, SpecError
from stacker.spec.language.parameter_grammar import parse_scale, parse_setting
from stacker.spec.language.slice_grammar import parse_slice
from stacker.spec.language.stack_spec import (
    BlendSpec,
    CrossfadeSpec,
    Item,
    NamedStack,
    OutputSpec,
    Parameter,
    RepeatSpec,
    Setting,
    SliceOrBlend,
    SliceSpec,
    StackSpec,
    UseSpec,
)
from stacker.spec.language.tokenizer_grammar import parse_template, parse_tokenizer
from stacker.spec.language.validation import attempt, keep_valid
from stacker.spec.language.value_grammar import parse_dtype, parse_size
from stacker.spec.native.advice import ADVICE
from stacker.spec.native.donor_reader import parse_donors
from stacker.spec.native.shape import ITEM_KINDS, BlendShape, CrossfadeShape, OpShape, SourceShape, StackShape
from stacker.text.node import (
    Mapping,
    Node,
    Scalar,
    Sequence,
    get_child,
    get_int,
    get_text,
    is_null,
    list_entries,
    list_items,
)

Problems = list[Problem]
_REQUIRED = ("stacker", "donors", "stack")
_OF_OTHER_ITEMS = dict.fromkeys(("over", "times", *ITEM_KINDS), "one item has one kind") | {
    "hop": "write it beside 'blend' or 'crossfade': it acts on what enters the item, not on one source"
}


def parse_native(root: Mapping, name: str) -> tuple[StackSpec, Problems]:
    """The spec in `root`, the top-level mapping of a native text, and all problems of the text.

    `name` is the spec's name if the text has no `name`.
    """
    node, problems = keep_valid(StackShape, root, ADVICE)
    missing = (key for key in _REQUIRED if key not in root.names)
    problems += [Problem(f"'{key}' is missing", f"for instance: {ADVICE.examples[key]}", root.mark) for key in missing]
    return _parse_spec(node, root, name, problems), problems


def _parse_spec(node: Mapping, root: Mapping, name: str, problems: Problems) -> StackSpec:
    base, template = get_text(node, "base"), node.get("chat_template")
    tokenizer, vocabulary = parse_tokenizer(node.get("tokenizer"), base, problems)
    written_name = get_text(node, "name") or name
    return StackSpec(
        name=attempt(problems, _parse_name, written_name, get_child(node, "name").mark) or name,
        donors=parse_donors(node.get("donors"), root.get("donors"), problems),
        stack=_parse_items(node.get("stack"), problems),
        stacks=_parse_stacks(node.get("stacks"), root.get("stacks"), problems),
        base=base,
        embed=_parse_part(node.get("embed"), "embed", problems),
        head=_parse_part(node.get("head"), "head", problems),
        towers=get_text(node, "towers"),
        tokenizer=tokenizer,
        vocabulary=vocabulary,
        chat_template=attempt(problems, parse_template, template) if template else None,
        config=get_text(node, "config"),
        ignored_keys=tuple(key.text for key, _ in list_entries(node.get("config_keys"))),
        output=_parse_output(node.get("output"), problems),
        source=root.mark.source,
        marks=tuple((key.text, key.mark) for key, _ in root.entries),
    )


def _parse_name(name: str, mark: Mark) -> str:
    if name.strip() and name.isprintable() and len(name) <= 200:
        return name
    raise SpecError.of("'name' must be one line of 1 to 200 printable characters", "", mark)


def _parse_stacks(node: Node | None, written: Node | None, problems: Problems) -> tuple[NamedStack, ...]:
    kept = {key.text: below for key, below in list_entries(node)}
    return tuple(
        NamedStack(key.text, _parse_items(kept.get(key.text), problems), key.mark) for key, _ in list_entries(written)
    )


def _parse_items(node: Node | None, problems: Problems) -> tuple[Item, ...]:
    items = (_parse_item(below, problems) for below in list_items(node))
    return tuple(item for item in items if item is not None)


def _parse_item(node: Node, problems: Problems) -> Item | None:
    keys = node.names if isinstance(node, Mapping) else ("slice",)
    match next(kind for kind in ITEM_KINDS if kind in keys):
        case "slice":
            return _parse_slice(node, problems)
        case "blend":
            return _parse_blend(node, problems)
        case "crossfade":
            sources, over = _parse_sources(get_child(node, "crossfade"), problems), get_int(node, "over") or 1
            settings = _parse_settings(node, CrossfadeShape, problems)
            base, hop = _parse_base(node, problems), _get_hop(node)
            return CrossfadeSpec(sources, over, _get_op(node), settings, base, hop, node.mark, _mark_op(node))
        case "repeat":
            return _parse_repeat(node, problems)
        case _:
            return UseSpec(get_text(node, "use") or "", _get_hop(node), node.mark)


def _parse_blend(node: Node, problems: Problems) -> BlendSpec:
    sources = _parse_sources(get_child(node, "blend"), problems)
    settings = _parse_settings(node, BlendShape, problems)
    base, hop = _parse_base(node, problems), _get_hop(node)
    return BlendSpec(sources, _get_op(node), settings, base, hop, node.mark, _mark_op(node))


def _parse_repeat(node: Node, problems: Problems) -> RepeatSpec:
    body = get_child(node, "repeat")
    items = _parse_items(body if isinstance(body, Sequence) else Sequence((body,), body.mark), problems)
    return RepeatSpec(items, get_int(node, "times") or 1, _parse_scale(node, problems), _get_hop(node), node.mark)


def _parse_slice(node: Node, problems: Problems) -> SliceSpec | None:
    """A slice, written as text or as a mapping with factors.

    If the slice is not valid, its problem is added to `problems` and the result is None.
    """
    if isinstance(node, Scalar):
        return attempt(problems, parse_slice, node.text, node.mark)
    mark = get_child(node, "slice").mark
    piece = attempt(problems, parse_slice, get_text(node, "slice") or "", mark)
    return piece and replace(piece, scale=_parse_scale(node, problems), hop=_get_hop(node))


def _parse_source(node: Node, problems: Problems) -> SliceSpec | None:
    """A slice in a blend or crossfade, which can also have parameters of the op but no `hop`."""
    piece, settings = _parse_slice(node, problems), _parse_settings(node, SourceShape, problems)
    return piece and replace(piece, settings=settings, hop=1.0)


def _parse_sources(node: Node, problems: Problems) -> tuple[SliceSpec, ...]:
    sources = (_parse_source(below, problems) for below in list_items(node))
    return tuple(source for source in sources if source is not None)


def _get_op(node: Node) -> str:
    return get_text(node, "op") or ""


def _mark_op(node: Node) -> Mark:
    return get_child(node, "op").mark


def _get_hop(node: Node) -> float:
    below = get_child(node, "hop")
    number = below.value if isinstance(below, Scalar) and below is not node else None
    return float(number) if isinstance(number, int | float) else 1.0


def _parse_base(node: Node, problems: Problems) -> SliceSpec | None:
    text = get_text(node, "base")
    return None if text is None else attempt(problems, parse_slice, text, get_child(node, "base").mark)


def _parse_scale(node: Node, problems: Problems) -> Parameter | None:
    below = get_child(node, "scale")
    return None if below is node else parse_scale(below, problems)


def _parse_settings(node: Node, shape: type[OpShape], problems: Problems) -> tuple[Setting, ...]:
    """The op's parameters in `node`, a blend, crossfade or source: all entries whose keys are not fields of `shape`.

    A key that only other kinds of items have is added to `problems`.
    """
    settings = []
    for key, below in list_entries(node):
        if key.text in shape.model_fields:
            continue
        if key.text in _OF_OTHER_ITEMS:
            message = f"'{key.text}' does not belong in this item"
            problems.append(Problem(message, _OF_OTHER_ITEMS[key.text], key.mark))
        else:
            settings.append(parse_setting(key.text, below, key.mark, problems))
    return tuple(settings)


def _parse_part(node: Node | None, key: str, problems: Problems) -> SliceOrBlend | None:
    """Where the embedding or head comes from: a donor or a blend of whole donors; `key` is `embed` or `head`.

    None if `node` is missing, null or not valid.
    """
    if node is None or is_null(node):
        return None
    part: SliceOrBlend | None
    if isinstance(node, Mapping) and node.get("blend"):
        part = _parse_blend(node, problems)
        pieces = (*part.sources, *((part.base,) if part.base else ()))
    else:
        part = _parse_slice(node, problems)
        pieces = (part,) if part else ()
    for piece in pieces:
        if (piece.start, piece.stop) != (None, None):
            problems.append(Problem(f"'{key}' takes whole donors, not layers", f"write {piece.donor}", piece.mark))
    return part


def _parse_output(node: Node | None, problems: Problems) -> OutputSpec:
    output = OutputSpec()
    for key, below in list_entries(node):
        if key.text == "dtype" and isinstance(below, Scalar):
            output = replace(output, dtype=attempt(problems, parse_dtype, below.text, below.mark))
        elif key.text == "dequantize" and isinstance(below, Scalar):
            output = replace(output, dequantize=below.value is True)
        elif isinstance(below, Scalar):
            size = attempt(problems, parse_size, str(below.value), below.mark)
            output = replace(output, shard_size=size or output.shard_size)
    return output
