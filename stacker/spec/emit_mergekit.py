"""A spec as a mergekit file, where mergekit can say it; where it cannot, every reason with its place."""

from __future__ import annotations

from collections.abc import Mapping

from stacker.errors import raise_problems
from stacker.spec.emit_tokenizer import mergekit_tokenizer
from stacker.spec.emit_writing import Names, Writing, in_text_order
from stacker.spec.methods import METHODS, BaseRole, Method
from stacker.spec.model import (
    BlendSpec,
    OutputSpec,
    Parameter,
    Part,
    Rule,
    Setting,
    SliceSpec,
    StackSpec,
)
from stacker.spec.output import shown_dtype, shown_size
from stacker.spec.outside import outside_of, same_part
from stacker.spec.parameters import EVERYTHING, combined
from stacker.spec.slices import shown_slice
from stacker.spec.unrolled import Run, unrolled
from stacker.text.writer import Flow, Tree, write_yaml


def to_mergekit(spec: StackSpec, depths: Mapping[str, int] | None = None, names: Names | None = None) -> str:
    """The spec in mergekit's language; SpecError lists each thing that mergekit cannot say.

    `depths` are the donors' numbers of layers, needed where a slice gives no end. `names` are, for each role, parts of
    tensor names that select the same tensors, needed where a parameter goes by role.
    """
    writing = Writing(spec, depths or {}, names or {})
    runs = unrolled(spec, writing.found)
    method = _method(writing, runs)
    _check_donors(writing)
    if runs:
        _check_outside(writing, runs)
    first = _first_donor(runs)
    embed = _first_donor((spec.embed,) if spec.embed else runs)
    config = spec.config or embed or first
    tokenizer = spec.tokenizer or embed
    text: dict[str, Tree] = {"merge_method": method.name}
    text["base_model"] = writing.donor(config)
    text |= _body(writing, runs, method, config)
    if spec.output.dtype is not None:
        text["out_dtype"] = shown_dtype(spec.output.dtype)
    if spec.vocabulary:
        text["tokenizer"] = mergekit_tokenizer(spec, writing.donor(tokenizer), writing.donor)
        if spec.vocabulary.union and tokenizer != config:
            writing.refuse("mergekit's union begins with the base_model's tokenizer", spec.mark_of("tokenizer"))
    if spec.chat_template is not None:
        text["chat_template"] = spec.chat_template
    if tokenizer != config and not spec.vocabulary:
        text["tokenizer_source"] = writing.donor(tokenizer)
    raise_problems(sorted(dict.fromkeys(writing.found), key=in_text_order))
    return _remarks(spec) + write_yaml(text)


def _remarks(spec: StackSpec) -> str:
    if spec.output.shard_size == OutputSpec().shard_size:
        return ""
    return f"# run mergekit-yaml with --out-shard-size {shown_size(spec.output.shard_size)}\n"


def _first_donor(runs: tuple[Run | Part, ...]) -> str:
    if not runs:
        return ""
    first = runs[0]
    return first.donor if isinstance(first, SliceSpec) else first.sources[0].donor


def _method(writing: Writing, runs: tuple[Run, ...]) -> Method:
    """The one method of the file: that of its blends, or passthrough."""
    blends = [run for run in runs if isinstance(run, BlendSpec)]
    by_op = {method.op: method for method in METHODS.values() if method.op}
    for run in blends:
        if run.op not in by_op:
            writing.refuse(f"mergekit has no method for the op '{run.op}'", run.mark)
        elif run.op != blends[0].op:
            writing.refuse(f"mergekit has one method in a file: '{blends[0].op}' above, '{run.op}' here", run.mark)
    method = by_op.get(blends[0].op, METHODS["passthrough"]) if blends else METHODS["passthrough"]
    if method.base in (BaseRole.REFERENCE, BaseRole.OPTIONAL):
        message = f"the base of '{method.op}' is a layer of its own, and base_model would be config and tokenizer too"
        writing.refuse(message, blends[0].mark, "write the mergekit file by hand: base_model, and the base as a source")
    if method.op:
        _check_plain(writing, runs, method)
    return method


def _check_plain(writing: Writing, runs: tuple[Run, ...], method: Method) -> None:
    for run in runs:
        if isinstance(run, SliceSpec) and method.base is not BaseRole.NONE:
            hint = "blend all slices, or none"
            writing.refuse(f"mergekit's {method.name} takes no slice of one donor", run.mark, hint)
        elif isinstance(run, SliceSpec) and run.scale is not None:
            writing.refuse(f"mergekit cannot scale a slice in a {method.name} file", run.mark)


def _check_donors(writing: Writing) -> None:
    for donor in writing.spec.donors:
        if donor.source is None:
            writing.refuse(f"donor '{donor.name}' is a stack; mergekit needs it built first", donor.mark)
        elif "+" in donor.source:
            writing.refuse(f"mergekit reads the '+' in {donor.source} as a LoRA", donor.mark)


def _check_outside(writing: Writing, runs: tuple[Run, ...]) -> None:
    """mergekit makes the embedding as it makes the first slice, and final norm and head as the last."""
    spec = writing.spec
    for key, part, run, where in (("embed", spec.embed, runs[0], "first"), ("head", spec.head, runs[-1], "last")):
        given = part or SliceSpec(_first_donor((run,)))
        if not same_part(given, outside_of(run)):
            mark = spec.mark_of(key) if part else run.mark
            message = f"mergekit makes the {key} as it makes the {where} slice, and here it is made otherwise"
            writing.refuse(message, mark, f"write '{key}' as that slice is: the same donors, op and parameters")
    counts = [len(run.sources) if isinstance(run, BlendSpec) else 1 for run in (runs[0], runs[-1])]
    if counts[0] < counts[1]:
        message = f"mergekit blends the head from as many donors as the first slice has ({counts[0]}), here {counts[1]}"
        writing.refuse(message, runs[-1].mark)


def _body(writing: Writing, runs: tuple[Run, ...], method: Method, config: str) -> dict[str, Tree]:
    """`models` where the stack is whole donors and nothing else, `slices` elsewhere."""
    sources = _sources(runs[0]) if len(runs) == 1 else ()
    whole = bool(sources) and all(source.start is None and source.stop is None for source in sources)
    if whole and config in {source.donor for source in sources} and _base(runs[0], method) in ("", config):
        parameters = _shared(writing, runs[0], method)
        return {"models": [_source(writing, runs[0], source, method, ranges=False) for source in sources], **parameters}
    return {"slices": [_slice(writing, run, method, config) for run in runs]}


def _sources(run: Run) -> tuple[SliceSpec, ...]:
    return run.sources if isinstance(run, BlendSpec) else (run,)


def _base(run: Run, method: Method) -> str:
    """The donor that must be the base_model of a run, if any."""
    return _sources(run)[0].donor if method.base is BaseRole.FIRST else ""


def _slice(writing: Writing, run: Run, method: Method, config: str) -> Tree:
    text: dict[str, Tree] = {
        "sources": [_source(writing, run, source, method, ranges=True) for source in _sources(run)]
    }
    if _base(run, method) not in ("", config):
        text["base_model"] = writing.donor(_base(run, method))
    return text | _shared(writing, run, method)


def _source(writing: Writing, run: Run, source: SliceSpec, method: Method, *, ranges: bool) -> Tree:
    text: dict[str, Tree] = {"model": writing.donor(source.donor)}
    if ranges:
        text["layer_range"] = Flow(_bounds(writing, source))
    own = {setting.name: setting.parameter for setting in source.settings}
    for name in own.keys() - set(method.per_source):
        writing.refuse(f"mergekit's {method.name} has no '{name}' of a source", source.mark or run.mark)
    if isinstance(run, BlendSpec) and source.scale is not None:
        writing.refuse("mergekit cannot scale a source of a blend", source.mark or run.mark)
    elif source.scale is not None:
        own["scale"] = source.scale
    above = {setting.name: setting.parameter for setting in run.settings}
    for name, value in method.defaults:
        known = combined(own.get(name), above.get(name))
        if known is None or known.rules[-1].match != EVERYTHING:
            own[name] = Parameter((*(known.rules if known else ()), Rule(EVERYTHING, value)))
    return text | writing.parameters(own, source.mark or run.mark)


def _bounds(writing: Writing, piece: SliceSpec) -> list[Tree]:
    stop = writing.depths.get(piece.donor) if piece.stop is None else piece.stop
    if stop is None:
        shown = shown_slice(piece)
        hint = f"write {piece.donor}[{piece.start or 0}:N] with the donor's number of layers N"
        writing.refuse(f"mergekit needs the end of {shown}, and the donor's depth is not known", piece.mark, hint)
    return [piece.start or 0, stop]


def _shared(writing: Writing, run: Run, method: Method) -> dict[str, Tree]:
    if isinstance(run, SliceSpec):
        return {}
    donors = [source.donor for source in run.sources]
    if len(set(donors)) < len(donors):
        writing.refuse("mergekit cannot blend a donor with itself", run.mark)
    if run.base is not None:
        writing.refuse(f"mergekit's {method.name} has no base of its own", run.base.mark or run.mark)
    if method.most is not None and len(run.sources) > method.most:
        writing.refuse(f"mergekit's {method.name} takes {method.most} donors", run.mark)
    for setting in _strangers(run.settings, method):
        writing.refuse(f"mergekit's {method.name} has no parameter '{setting.name}'", setting.mark or run.mark)
    return writing.parameters({setting.name: setting.parameter for setting in run.settings}, run.mark)


def _strangers(settings: tuple[Setting, ...], method: Method) -> list[Setting]:
    return [setting for setting in settings if setting.name not in (*method.per_source, *method.shared)]
