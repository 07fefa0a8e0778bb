"""The native dialect: from shape and nodes to the values of `model`. What is wrong is collected, the rest goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from stacker.errors import Mark, Problem, SpecError
from stacker.spec.language.parameter_grammar import parse_scale, parse_setting
from stacker.spec.language.slice_grammar import NAME, parse_slice
from stacker.spec.language.stack_spec import (
    BlendSpec,
    CrossfadeSpec,
    DonorSpec,
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
from stacker.spec.language.validation import read_shape
from stacker.spec.language.value_grammar import parse_dtype, parse_size, parse_source
from stacker.spec.native.advice import ADVICE
from stacker.spec.native.shape import (
    BlendShape,
    CrossfadeShape,
    DonorShape,
    OutputShape,
    PartBlendShape,
    RepeatShape,
    SliceShape,
    SourceShape,
    StackShape,
    UseShape,
)
from stacker.text.node import Mapping, Node, get_child, shorten

Found = list[Problem]
Made = TypeVar("Made")
AnyItem = str | SliceShape | BlendShape | CrossfadeShape | RepeatShape | UseShape
_REQUIRED = ("stacker", "donors", "stack")
_FOREIGN = frozenset({"over", "times", *("slice", "blend", "crossfade", "repeat", "use")})


def parse_native(root: Mapping, name: str) -> tuple[StackSpec, list[Problem]]:
    """The spec of a native text, `name` where it gives none, and what is wrong with it by itself."""
    shape, node, found = read_shape(StackShape, root, ADVICE)
    missing = (key for key in _REQUIRED if key not in root.names)
    found += [Problem(f"'{key}' is missing", f"for instance: {ADVICE.examples[key]}", root.mark) for key in missing]
    return _spec(shape or StackShape(), node, root, name, found), found


def _spec(shape: StackShape, node: Mapping, root: Mapping, name: str, found: Found) -> StackSpec:
    marks = tuple((key.text, key.mark) for key, _ in root.entries)
    tokenizer, vocabulary = parse_tokenizer(node.get("tokenizer"), shape.base, found)
    written = node.get("chat_template")
    template = None if written is None else _attempt(found, lambda: parse_template(written))
    return StackSpec(
        name=_attempt(found, lambda: _name(shape.name or name, get_child(node, "name").mark)) or name,
        donors=_donors(shape, get_child(node, "donors"), root.get("donors"), found),
        stack=_items(shape.stack, get_child(node, "stack"), found),
        stacks=_stacks(shape, get_child(node, "stacks"), root.get("stacks"), found),
        base=shape.base,
        embed=_part(shape.embed, get_child(node, "embed"), "embed", found),
        head=_part(shape.head, get_child(node, "head"), "head", found),
        tokenizer=tokenizer,
        vocabulary=vocabulary,
        chat_template=template,
        config=shape.config,
        output=_output(shape.output, get_child(node, "output"), found),
        source=root.mark.source,
        marks=marks,
    )


def _attempt(found: Found, make: Callable[[], Made]) -> Made | None:
    """What `make` gives, or None with its problems kept."""
    try:
        return make()
    except SpecError as error:
        found.extend(error.problems)
        return None


def _name(name: str, mark: Mark) -> str:
    if name.strip() and name.isprintable() and len(name) <= 200:
        return name
    raise SpecError.of("'name' must be one line of 1 to 200 printable characters", "", mark)


def _donors(shape: StackShape, node: Node, written: Node | None, found: Found) -> tuple[DonorSpec, ...]:
    donors = [_donor(name, donor, get_child(node, name), found) for name, donor in shape.donors.items()]
    names = [key for key, _ in written.entries] if isinstance(written, Mapping) else []
    for key in names:
        if not NAME.fullmatch(key.text):
            hint = "use letters, digits, '_', '-' and '.'; the hub id or folder is the value: short-name: org/name"
            found.append(Problem(f"'{shorten(key.text)}' cannot be a donor's name", hint, key.mark))
    # A donor cut out for a problem already reported is still a name that others may use.
    return (*donors, *(DonorSpec(key.text) for key in names if key.text not in shape.donors))


def _donor(name: str, shape: str | DonorShape, node: Node, found: Found) -> DonorSpec:
    if isinstance(shape, str):
        return _attempt(found, lambda: parse_source(name, shape, node.mark)) or DonorSpec(name)
    if (shape.source is None) == (shape.stack is None):
        hint = "source: a folder or hub id; stack: another spec file whose result is the donor"
        found.append(Problem(f"donor '{shorten(name)}' needs one of 'source' and 'stack'", hint, node.mark))
        return DonorSpec(name)
    if shape.source is None:
        if shape.revision is not None:
            found.append(
                Problem("'revision' belongs to a hub id, not to a stack", "", get_child(node, "revision").mark)
            )
        return DonorSpec(name, like=shape.like, stack=shape.stack, mark=node.mark)
    source = shape.source
    donor = _attempt(found, lambda: parse_source(name, source, get_child(node, "source").mark)) or DonorSpec(name)
    if donor.revision and shape.revision is not None:
        found.append(Problem("the revision is given twice", "after '@' or as 'revision', not both", node.mark))
    return DonorSpec(name, donor.source, donor.revision or shape.revision, shape.like, mark=node.mark)


def _stacks(shape: StackShape, node: Node, written: Node | None, found: Found) -> tuple[NamedStack, ...]:
    if not isinstance(written, Mapping):
        return ()
    return tuple(
        NamedStack(name, _items(shape.stacks.get(name, []), get_child(node, name), found), written.key_mark(name))
        for name in written.names
    )


def _items(shapes: Sequence[AnyItem], node: Node, found: Found) -> tuple[Item, ...]:
    items = (_item(shape, get_child(node, at), found) for at, shape in enumerate(shapes))
    return tuple(item for item in items if item is not None)


def _item(shape: AnyItem, node: Node, found: Found) -> Item | None:
    match shape:
        case str() | SliceShape():
            return _slice(shape, node, found)
        case BlendShape():
            sources, base = _sources(shape.blend, get_child(node, "blend"), found), _base(shape.base, node, found)
            return BlendSpec(sources, shape.op, _settings(shape, node, found), base, node.mark)
        case CrossfadeShape():
            sources, base = (
                _sources(shape.crossfade, get_child(node, "crossfade"), found),
                _base(shape.base, node, found),
            )
            return CrossfadeSpec(sources, shape.over, shape.op, _settings(shape, node, found), base, node.mark)
        case RepeatShape():
            return _repeat(shape, node, found)
        case UseShape():
            return UseSpec(shape.use, node.mark)


def _repeat(shape: RepeatShape, node: Node, found: Found) -> RepeatSpec:
    body = get_child(node, "repeat")
    if isinstance(shape.repeat, list):
        items = _items(shape.repeat, body, found)
    else:
        item = _item(shape.repeat, body, found)
        items = (item,) if item is not None else ()
    return RepeatSpec(items, shape.times, _scale(node, found), node.mark)


def _slice(shape: str | SliceShape | SourceShape, node: Node, found: Found) -> SliceSpec | None:
    """A slice with its factors, and as a source with its parameters."""
    text = shape if isinstance(shape, str) else shape.slice
    mark = node.mark if isinstance(shape, str) else get_child(node, "slice").mark
    piece = _attempt(found, lambda: parse_slice(text, mark))
    if isinstance(shape, str):
        return piece
    scale = _scale(node, found)
    settings = _settings(shape, node, found) if isinstance(shape, SourceShape) else ()
    return piece and SliceSpec(piece.donor, piece.start, piece.stop, scale, settings, mark)


def _sources(shapes: Sequence[str | SourceShape], node: Node, found: Found) -> tuple[SliceSpec, ...]:
    sources = (_slice(shape, get_child(node, at), found) for at, shape in enumerate(shapes))
    return tuple(source for source in sources if source is not None)


def _base(text: str | None, node: Node, found: Found) -> SliceSpec | None:
    if text is None:
        return None
    return _attempt(found, lambda: parse_slice(text, get_child(node, "base").mark))


def _scale(node: Node, found: Found) -> Parameter | None:
    below = get_child(node, "scale")
    return None if below is node else parse_scale(below, found)


def _settings(
    shape: BlendShape | CrossfadeShape | PartBlendShape | SourceShape, node: Node, found: Found
) -> tuple[Setting, ...]:
    settings = []
    for name in shape.model_extra or {}:
        mark = node.key_mark(name) if isinstance(node, Mapping) else node.mark
        if name in _FOREIGN:
            found.append(Problem(f"'{name}' does not belong in this item", "one item has one kind", mark))
        else:
            settings.append(parse_setting(name, get_child(node, name), mark, found))
    return tuple(settings)


def _part(shape: str | SliceShape | PartBlendShape | None, node: Node, key: str, found: Found) -> SliceOrBlend | None:
    part: SliceOrBlend | None
    if isinstance(shape, PartBlendShape):
        sources, base = _sources(shape.blend, get_child(node, "blend"), found), _base(shape.base, node, found)
        part = BlendSpec(sources, shape.op, _settings(shape, node, found), base, node.mark)
        pieces = (*sources, *((base,) if base else ()))
    else:
        part = None if shape is None else _slice(shape, node, found)
        pieces = (part,) if part else ()
    for piece in pieces:
        if (piece.start, piece.stop) != (None, None):
            hint = f"write {piece.donor}"
            found.append(Problem(f"'{key}' takes whole donors, not layers", hint, piece.mark))
    return part


def _output(shape: OutputShape, node: Node, found: Found) -> OutputSpec:
    dtype = _attempt(found, lambda: parse_dtype(shape.dtype, get_child(node, "dtype").mark))
    size = _attempt(found, lambda: parse_size(shape.shard_size, get_child(node, "shard_size").mark))
    return OutputSpec(dtype, size or OutputSpec().shard_size)
