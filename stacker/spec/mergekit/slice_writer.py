"""Writes the `slices` or `models` of a mergekit file: sources with their layers and parameters, and base models."""

from __future__ import annotations

from stacker.spec.language.parameter_grammar import EVERYTHING, combine_levels
from stacker.spec.language.slice_grammar import format_slice
from stacker.spec.language.stack_spec import BlendSpec, Parameter, Rule, Setting, SliceOrBlend, SliceSpec
from stacker.spec.mergekit.methods import BaseRole, Method
from stacker.spec.mergekit.write_context import WriteContext
from stacker.text.emitter import Flow, Tree

_COMPARED = (BaseRole.REFERENCE, BaseRole.OPTIONAL)


def write_body(context: WriteContext, runs: tuple[SliceOrBlend, ...], method: Method, config: str) -> dict[str, Tree]:
    """A mapping with `slices`, or with `models` if the file's only slice or blend takes whole donors.

    `runs` are the slices and blends of the file; `models` also needs `config`, the donor of the file's base_model, to
    be one of the whole donors.
    """
    sources = _list_sources(context, runs[0], method) if len(runs) == 1 else ()
    whole = bool(sources) and all(source.start is None and source.stop is None for source in sources)
    if whole and config in {source.donor for source in sources} and find_base(context, runs[0], method) in ("", config):
        parameters = _shared_tree(context, runs[0], method)
        return {
            "models": [_source_tree(context, runs[0], source, method, ranges=False) for source in sources],
            **parameters,
        }
    return {"slices": [_slice_tree(context, run, method, config) for run in runs]}


def find_base(context: WriteContext, run: SliceOrBlend, method: Method) -> str:
    """The donor that a slice or blend needs as its base_model; "" if it needs none."""
    if method.base is BaseRole.FIRST:
        return (run.sources if isinstance(run, BlendSpec) else (run,))[0].donor
    source = _find_base_source(context, run, method)
    return source.donor if source else ""


def _find_base_source(context: WriteContext, run: SliceOrBlend, method: Method) -> SliceSpec | None:
    """The base layers of a blend: its own `base`, or the spec's base with the layer numbers of the first source.

    None for a slice, for a method that compares with no base, and if neither the blend nor the spec has a base.
    """
    if isinstance(run, SliceSpec) or method.base not in _COMPARED:
        return None
    if run.base is not None:
        return run.base
    first = run.sources[0]
    if context.spec.base is None:
        return None
    stop = first.stop
    if first.start is not None and stop is None:
        stop = context.depths.get(first.donor)
    return SliceSpec(context.spec.base, first.start, stop, mark=run.mark)


def _list_sources(context: WriteContext, run: SliceOrBlend, method: Method) -> tuple[SliceSpec, ...]:
    """The sources of a slice or blend in mergekit's order: the base, if there is one, comes last."""
    if isinstance(run, SliceSpec):
        return (run,)
    base = _find_base_source(context, run, method)
    return (*run.sources, base) if base else run.sources


def _slice_tree(context: WriteContext, run: SliceOrBlend, method: Method, config: str) -> Tree:
    sources = _list_sources(context, run, method)
    text: dict[str, Tree] = {"sources": [_source_tree(context, run, source, method, ranges=True) for source in sources]}
    base = find_base(context, run, method)
    if base not in ("", config):
        text["base_model"] = context.donor(base)
    return text | _shared_tree(context, run, method)


def _source_tree(context: WriteContext, run: SliceOrBlend, source: SliceSpec, method: Method, *, ranges: bool) -> Tree:
    text: dict[str, Tree] = {"model": context.donor(source.donor)}
    if ranges:
        text["layer_range"] = Flow(_find_bounds(context, source))
    if isinstance(run, BlendSpec) and source not in run.sources:
        return text
    own = {setting.name: setting.parameter for setting in source.settings}
    for name in own.keys() - set(method.per_source):
        context.refuse(f"mergekit's {method.name} has no '{name}' of a source", source.mark or run.mark)
    if isinstance(run, BlendSpec) and source.scale is not None:
        context.refuse("mergekit cannot scale a source of a blend", source.mark or run.mark)
    elif source.scale is not None:
        own["scale"] = source.scale
    above = {setting.name: setting.parameter for setting in run.settings}
    for name, value in method.defaults:
        known = combine_levels(own.get(name), above.get(name))
        if known is None or known.rules[-1].match != EVERYTHING:
            own[name] = Parameter((*(known.rules if known else ()), Rule(EVERYTHING, value)))
    return text | context.parameters(own, source.mark or run.mark)


def _find_bounds(context: WriteContext, piece: SliceSpec) -> list[Tree]:
    stop = context.depths.get(piece.donor) if piece.stop is None else piece.stop
    if stop is None:
        shown = format_slice(piece)
        hint = f"write {piece.donor}[{piece.start or 0}:N] with the donor's number of layers N"
        context.refuse(f"mergekit needs the end of {shown}, and the donor's depth is not known", piece.mark, hint)
    return [piece.start or 0, stop]


def _shared_tree(context: WriteContext, run: SliceOrBlend, method: Method) -> dict[str, Tree]:
    if isinstance(run, SliceSpec):
        return {}
    _check_blend(context, run, method)
    for setting in _list_unknown(run.settings, method):
        context.refuse(f"mergekit's {method.name} has no parameter '{setting.name}'", setting.mark or run.mark)
    return context.parameters({setting.name: setting.parameter for setting in run.settings}, run.mark)


def _check_blend(context: WriteContext, run: BlendSpec, method: Method) -> None:
    sources = _list_sources(context, run, method)
    donors = [source.donor for source in run.sources]
    base = _find_base_source(context, run, method)
    if len(set(donors)) < len(donors):
        context.refuse("mergekit cannot blend a donor with itself", run.mark)
    elif base and base.donor in donors:
        context.refuse(f"mergekit takes the base out of the sources, and '{base.donor}' is both", run.mark)
    if run.base is not None and method.base not in _COMPARED:
        context.refuse(f"mergekit's {method.name} has no base of its own", run.base.mark or run.mark)
    if method.base is BaseRole.REFERENCE and base is None:
        context.refuse(f"mergekit's {method.name} needs a base", run.mark)
    if method.most is not None and len(sources) > method.most:
        context.refuse(f"mergekit's {method.name} takes {method.most} donors", run.mark)


def _list_unknown(settings: tuple[Setting, ...], method: Method) -> list[Setting]:
    return [setting for setting in settings if setting.name not in (*method.per_source, *method.shared)]
