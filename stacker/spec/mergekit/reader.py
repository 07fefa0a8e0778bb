"""Reads a mergekit file into a StackSpec with the same meaning, but without mergekit's bugs.

As in mergekit, the embedding is made like the first slice, and the final norm and head are made like the last slice. A
slice of no layers is allowed; if it is the first or the last one, it only decides the embedding or the head.
"""

from __future__ import annotations

from collections.abc import Mapping as Table
from dataclasses import dataclass, replace
from types import MappingProxyType

from stacker.errors import Problem, SpecError, did_you_mean, select_errors
from stacker.spec.language.stack_spec import (
    BlendSpec,
    Dialect,
    OutputSpec,
    SliceOrBlend,
    SliceSpec,
    StackSpec,
    VocabularySpec,
)
from stacker.spec.language.tokenizer_grammar import UNION, Grammar, parse_template, parse_vocabulary
from stacker.spec.language.validation import keep_valid
from stacker.spec.language.value_grammar import parse_dtype
from stacker.spec.mergekit.grammar import DonorNames
from stacker.spec.mergekit.methods import METHODS, BaseRole, Method, make_outer_part
from stacker.spec.mergekit.modules import find_stacked_module, parse_carried_modules
from stacker.spec.mergekit.read_context import Levels, ReadContext
from stacker.spec.mergekit.shape import ADVICE, MergekitFile, check_keys
from stacker.text.node import (
    Mapping,
    Node,
    Scalar,
    get_child,
    get_text,
    is_null,
    list_items,
    shorten,
)

_BASE_HINT = "name the model that the others are compared with: base_model: org/name"
_EQUAL_HINT = "give all sources of a slice the same number of layers"
_RANGE_HINT = "layer_range: [first, last + 1]; the end is not included"


@dataclass(frozen=True, slots=True)
class _Run:
    """One output slice; `levels` are the `parameters` mappings of the slice, its module and the file.

    `base` is the donor of the slice's base_model (None: no base_model), and `node` is the YAML that the slice was read
    from.
    """

    sources: tuple[SliceSpec, ...]
    levels: Levels
    base: str | None
    node: Node


def parse_mergekit(
    root: Mapping, name: str, stages: Table[str, StackSpec] = MappingProxyType({})
) -> tuple[StackSpec, list[Problem]]:
    """The spec in a mergekit file, and all problems of the file.

    `name` is the spec's name if the file has no `name`, and `stages` are the specs of earlier documents by name, which
    the file can use as models.
    """
    node, problems = keep_valid(MergekitFile, root, ADVICE)
    method_name = get_text(node, "merge_method") or ""
    context = ReadContext(_find_method(method_name, root, problems), problems, DonorNames(stages=stages))
    base = context.reference(node, "base_model")
    if method_name in METHODS:
        problems += check_keys(node, context.method)
    return _parse_file(context, node, base, name), problems


def _find_method(name: str, root: Mapping, problems: list[Problem]) -> Method:
    if name and name not in METHODS:
        close = did_you_mean(name, METHODS)
        hint = close if close.startswith("known") else f"{close}\nknown: {', '.join(sorted(METHODS))}"
        message = f"merge_method '{shorten(name)}' is unknown"
        problems.append(Problem(message, hint, get_child(root, "merge_method").mark))
    return METHODS.get(name, Method(name, name))


def _parse_file(context: ReadContext, node: Mapping, base: str | None, name: str) -> StackSpec:
    made = [context.attempt(_make_item, context, run) for run in _parse_runs(context, node, base)]
    items = [item for item in made if item is not None]
    stack = [item for item in items if not _is_empty(item)]
    if items == made and not stack and made:
        context.error("the slices have no layers", _RANGE_HINT, node.key_mark("slices"))
    towers = parse_carried_modules(context, node, base)
    tokenizer, vocabulary = _parse_tokenizer(context, node, base)
    template = node.get("chat_template")
    return StackSpec(
        name=get_text(node, "name") or name,
        donors=context.donors.all(),
        stack=tuple(stack),
        base=base,
        embed=_make_outside(items[0]) if items else None,
        head=_make_outside(items[-1]) if items else None,
        towers=towers,
        tokenizer=tokenizer,
        vocabulary=vocabulary,
        chat_template=None if template is None or is_null(template) else context.attempt(parse_template, template),
        config=base,
        output=_parse_output(context, node),
        source=node.mark.source,
        dialect=Dialect.MERGEKIT,
        marks=tuple((key.text, key.mark) for key, _ in node.entries),
    )


def _parse_runs(context: ReadContext, node: Mapping, base: str | None) -> list[_Run]:
    """The output slices of a file or, if it has `modules`, of the module that is stacked; `models` make a single slice.

    `base` is the donor of the file's base_model; None if the file has none.
    """
    levels = context.below(node, ())
    given = [key for key in ("slices", "models", "modules") if not is_null(node.get(key))]
    if len(given) != 1 and not select_errors(context.problems):
        listed = " and ".join(given)
        message = f"the file has {listed}" if given else "nothing to merge: no 'slices', 'models' or 'modules'"
        context.error(message, "write exactly one of slices, models and modules", node.mark)
    if module := find_stacked_module(context, node):
        return _parse_holder(context, module, context.below(module, levels), base)
    return _parse_holder(context, node, levels, base)


def _parse_holder(context: ReadContext, node: Node, levels: Levels, base: str | None) -> list[_Run]:
    """The output slices of a file or module: one for each entry of `slices`, or a single one made from all `models`.

    `levels` are the `parameters` mappings that apply in `node`, and `base` is the donor of the file's base_model.
    """
    if slices := list_items(get_child(node, "slices")):
        return [_parse_slice(context, run, levels, base) for run in slices]
    if list_items(get_child(node, "models")):
        return [_parse_models(context, get_child(node, "models"), levels, base)]
    return []


def _parse_slice(context: ReadContext, node: Node, levels: Levels, base: str | None) -> _Run:
    sources = (_parse_source(context, source) for source in list_items(get_child(node, "sources")))
    kept = tuple(source for source in sources if source)
    return _Run(kept, context.below(node, levels), context.reference(node, "base_model") or base, node)


def _parse_source(context: ReadContext, node: Node) -> SliceSpec | None:
    donor = context.reference(node, "model")
    place = get_child(node, "layer_range")
    bounds = (bound.value for bound in list_items(place) if isinstance(bound, Scalar))
    start, stop = (bound for bound in bounds if isinstance(bound, int))
    if start < 0:
        context.error(f"layer_range [{start}, {stop}] begins before layer 0", _RANGE_HINT, place.mark)
    elif stop < start:
        context.error(f"layer_range [{start}, {stop}] runs backwards", _RANGE_HINT, place.mark)
    elif donor:
        return SliceSpec(donor, start, stop, settings=context.source_settings(node), mark=node.mark)
    return None


def _parse_models(context: ReadContext, node: Node, levels: Levels, base: str | None) -> _Run:
    """One output slice with all layers of every model.

    As in mergekit, a base that is not listed in `models` is added as a source.
    """
    sources = []
    for below in list_items(node):
        donor = context.reference(below, "model")
        if donor:
            sources.append(SliceSpec(donor, settings=context.source_settings(below), mark=below.mark))
    if base and base not in {source.donor for source in sources}:
        sources.append(SliceSpec(base, mark=node.mark))
    return _Run(tuple(sources), levels, base, node)


def _make_item(context: ReadContext, run: _Run) -> SliceSpec | BlendSpec | None:
    """The stack item for an output slice: a slice for one source, a blend for several sources, None for no sources.

    SpecError if there are more sources than the merge method allows, if only some of them have layers, or if the base
    that the method needs is not among the sources.
    """
    method = context.method
    if len({source.start == source.stop for source in run.sources if source.stop is not None}) > 1:
        raise SpecError.of("some sources of the slice have layers, others have none", _EQUAL_HINT, run.node.mark)
    if method.most is not None and len(run.sources) > method.most:
        hint = "write a slice for each" if method.most == 1 else ""
        count = f"{method.most} model{'s' * (method.most > 1)}"
        raise SpecError.of(f"'{method.name}' takes {count} a slice, not {len(run.sources)}", hint, run.node.mark)
    if len(run.sources) < 2:
        return next((_make_slice(context, source, run) for source in run.sources), None)
    if method.base is BaseRole.NONE or (method.base is BaseRole.OPTIONAL and run.base is None):
        return BlendSpec(run.sources, method.op, context.shared_settings(run.levels), mark=run.node.mark)
    base = _find_base_source(run, method)
    others = tuple(source for source in run.sources if source is not base)
    settings = context.shared_settings(run.levels)
    if method.base is BaseRole.FIRST:
        return BlendSpec((base, *others), method.op, settings, mark=run.node.mark)
    return BlendSpec(others, method.op, settings, replace(base, settings=()), mark=run.node.mark)


def _make_slice(context: ReadContext, source: SliceSpec, run: _Run) -> SliceSpec:
    scale = None if context.method.op else context.scale(source, run.levels)
    return replace(source, scale=scale, settings=())


def _find_base_source(run: _Run, method: Method) -> SliceSpec:
    if run.base is None:
        raise SpecError.of(f"'{method.name}' needs a base_model", _BASE_HINT, run.node.mark)
    for source in run.sources:
        if source.donor == run.base:
            return source
    raise SpecError.of(f"the base_model '{run.base}' is not among the sources", _BASE_HINT, run.node.mark)


def _make_outside(item: SliceSpec | BlendSpec) -> SliceOrBlend | None:
    """The embedding or head that mergekit makes like `item`.

    It is None, for the default, if `item` is a slice of layers without factors.
    """
    if isinstance(item, SliceSpec):
        stated = item.scale is not None or _is_empty(item)
        return SliceSpec(item.donor, scale=item.scale, mark=item.mark) if stated else None
    return make_outer_part(item)


def _is_empty(item: SliceSpec | BlendSpec) -> bool:
    """Whether an item has no layers; an item without bounds has all layers of its donors."""
    first = item if isinstance(item, SliceSpec) else item.sources[0]
    return first.stop is not None and first.start == first.stop


def _parse_tokenizer(context: ReadContext, node: Mapping, base: str | None) -> tuple[str | None, VocabularySpec | None]:
    """The donor of the tokenizer, and how the rows of embedding and head are arranged to match the tokenizer.

    The donor is `base` if none is written; the second element is None if the rows stay as they are.
    """
    table = node.get("tokenizer")
    holder, key = (table, "source") if isinstance(table, Mapping) else (node, "tokenizer_source")
    if holder is table and not is_null(node.get("tokenizer_source")):
        hint = "keep 'tokenizer' with its 'source'"
        context.error("the file has both 'tokenizer' and 'tokenizer_source'", hint, node.key_mark("tokenizer_source"))
    value = holder.get(key)
    vocabulary = None
    if isinstance(table, Mapping):
        vocabulary = parse_vocabulary(table, Grammar("model", context.donors.name), context.problems)
    elif not is_null(value):
        union = isinstance(value, Scalar) and value.value == UNION
        vocabulary = VocabularySpec(union, mark=get_child(node, key).mark)
    name = value.value if isinstance(value, Scalar) else None
    if name == "base" and base is None:
        context.error("'base' is asked for, but there is no base_model", _BASE_HINT, get_child(holder, key).mark)
    if is_null(value) or name in ("base", UNION):
        return base, vocabulary
    return context.reference(holder, key), vocabulary


def _parse_output(context: ReadContext, node: Mapping) -> OutputSpec:
    """How the result is stored: the element type is `out_dtype`, or `dtype` if the file has no `out_dtype`."""
    chosen = [(name, key) for key in ("out_dtype", "dtype") if (name := get_text(node, key))]
    dtypes = [
        context.attempt(parse_dtype, name.removeprefix("torch."), get_child(node, key).mark) for name, key in chosen
    ]
    return OutputSpec(dtypes[0] if dtypes else None)
