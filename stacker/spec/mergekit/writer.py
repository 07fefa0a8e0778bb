"""Writes a spec as a mergekit file, or lists every reason why mergekit cannot express the spec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from stacker.errors import Problem, raise_problems
from stacker.spec.language.stack_spec import (
    BlendSpec,
    SliceOrBlend,
    SliceSpec,
    StackSpec,
)
from stacker.spec.language.tokenizer_grammar import format_mergekit_tokenizer
from stacker.spec.language.value_grammar import format_dtype, format_size
from stacker.spec.mergekit.methods import METHODS, BaseRole, Method, is_same_part, make_outer_part
from stacker.spec.mergekit.runs import count_stage_layers, make_runs
from stacker.spec.mergekit.slice_writer import find_base, write_body
from stacker.spec.mergekit.write_context import Names, WriteContext, text_order
from stacker.text.emitter import Tree, write_yaml


def to_mergekit(
    spec: StackSpec,
    depths: Mapping[str, int] | None = None,
    names: Names | None = None,
    ramps: Mapping[str, str] | None = None,
    writers: tuple[str, ...] = (),
) -> str:
    """The text of a mergekit file for the spec; SpecError lists what mergekit cannot express.

    `depths` maps donors to their number of layers (key `a/b`: donor `b` of the document that makes donor `a`), `names`
    maps tensor roles to substrings of tensor names, and `ramps` maps ops to the parameter that a crossfade varies.
    `writers` are the roles of all tensors that hops divide.
    """
    problems: list[Problem] = []
    texts = _write_documents(WriteContext(spec, depths or {}, names or {}, ramps or {}, writers, problems), {})
    raise_problems(sorted(dict.fromkeys(problems), key=text_order))
    remark = "# for mergekit-multi: each document but the last is built first\n" if len(texts) > 1 else ""
    return remark + "---\n".join(texts)


def _write_documents(context: WriteContext, seen: dict[str, str]) -> list[str]:
    """The YAML documents of a mergekit file: those that make donors, each before its first use, then the spec's own.

    `seen` collects the documents that make donors by name, so that each of them is in the file once.
    """
    depths = dict(context.depths)
    for donor in context.spec.donors:
        if donor.stage is not None and donor.stack is not None:
            below = {key.removeprefix(f"{donor.name}/"): depth for key, depth in context.depths.items()}
            inner = replace(context, spec=donor.stage, depths=below)
            if donor.stack not in seen:
                texts = _write_documents(inner, seen)
                seen[donor.stack] = f"name: {donor.stack}\n{texts[-1]}"
            count = count_stage_layers(inner)
            depths |= {donor.name: count} if count is not None else {}
    text = _make_document(replace(context, depths=depths))
    return [*seen.values(), _write_remarks(context.spec, text) + write_yaml(text)]


def _make_document(context: WriteContext) -> dict[str, Tree]:
    spec = context.spec
    runs = _add_ends(spec, make_runs(context))
    method = _choose_method(context, runs)
    _check_donors(context)
    if runs:
        _check_head(context, runs)
    if spec.towers:
        context.refuse(
            "mergekit names the donor of a vision tower by modules, which are not written", spec.mark_of("towers")
        )
    first = _find_first_donor(runs)
    embed = _find_first_donor((spec.embed,) if spec.embed else runs)
    config = spec.config or embed or first
    tokenizer = spec.tokenizer or embed
    text: dict[str, Tree] = {"merge_method": method.name}
    if _takes_base_model(context, runs, method):
        text["base_model"] = context.donor(config)
    else:
        _check_without_base_model(context, config, embed, tokenizer)
    text |= write_body(context, runs, method, config)
    if spec.output.dtype is not None:
        text["out_dtype"] = format_dtype(spec.output.dtype)
    if spec.vocabulary:
        text["tokenizer"] = format_mergekit_tokenizer(spec, context.donor(tokenizer), context.donor)
        if spec.vocabulary.union and tokenizer != config:
            context.refuse("mergekit's union begins with the base_model's tokenizer", spec.mark_of("tokenizer"))
    if spec.chat_template is not None:
        text["chat_template"] = spec.chat_template
    if tokenizer != config and not spec.vocabulary:
        text["tokenizer_source"] = context.donor(tokenizer)
    return text


def _add_base(part: SliceOrBlend, spec: StackSpec) -> SliceOrBlend:
    """The embedding or head `part`; a blend without a base gets the spec's `base`, if there is one."""
    if isinstance(part, SliceSpec) or part.base or spec.base is None:
        return part
    return replace(part, base=SliceSpec(spec.base))


def _write_remarks(spec: StackSpec, text: Mapping[str, Tree]) -> str:
    remarks = []
    if spec.output.shard_size is not None:
        remarks.append(f"# run mergekit-yaml with --out-shard-size {format_size(spec.output.shard_size)}\n")
    if "base_model" not in text:
        remarks.append("# without a base_model, mergekit takes config and tokenizer of any of the models\n")
    if "tokenizer_source" in text:
        remarks.append("# where tokenizers differ, mergekit moves embedding and head rows to tokenizer_source's\n")
    return "".join(remarks)


def _find_first_donor(runs: tuple[SliceOrBlend, ...]) -> str:
    if not runs:
        return ""
    first = runs[0]
    return first.donor if isinstance(first, SliceSpec) else first.sources[0].donor


def _choose_method(context: WriteContext, runs: tuple[SliceOrBlend, ...]) -> Method:
    """The one merge method of the file: the method that all blends use, or passthrough if there are no blends.

    A problem is reported for each blend whose method differs from that of the first blend.
    """
    blends = [run for run in runs if isinstance(run, BlendSpec)]
    by_op = {method.op: method for method in METHODS.values() if method.op} | {"mean": METHODS["linear"]}
    for run in blends:
        if run.op not in by_op:
            context.refuse(f"mergekit has no method for the op '{run.op}'", run.mark)
        elif by_op[run.op] != by_op.get(blends[0].op):
            context.refuse(f"mergekit has one method in a file: '{blends[0].op}' above, '{run.op}' here", run.mark)
    method = by_op.get(blends[0].op, METHODS["passthrough"]) if blends else METHODS["passthrough"]
    if method.op:
        _check_plain(context, runs, method)
    return method


def _takes_base_model(context: WriteContext, runs: tuple[SliceOrBlend, ...], method: Method) -> bool:
    """Whether the file gets a base_model: False if the method could compare with it but no slice or blend has a base.

    A problem is reported if only some of the slices and blends have a base.
    """
    if method.base is not BaseRole.OPTIONAL:
        return True
    based = [bool(find_base(context, run, method)) for run in runs]
    if len(set(based)) > 1:
        without = runs[based.index(False)]
        context.refuse(f"mergekit's {method.name} has a base in all slices or in none", without.mark)
    return any(based)


def _check_without_base_model(context: WriteContext, config: str, embed: str, tokenizer: str) -> None:
    for key, donor in (("config", config), ("tokenizer", tokenizer)):
        if donor != embed:
            message = f"mergekit takes its {key} from base_model, which this op would compare with"
            context.refuse(message, context.spec.mark_of(key))
    if context.spec.vocabulary and context.spec.vocabulary.union:
        message = "mergekit's union begins with the base_model's tokenizer, and this op would compare with it"
        context.refuse(message, context.spec.mark_of("tokenizer"))


def _check_plain(context: WriteContext, runs: tuple[SliceOrBlend, ...], method: Method) -> None:
    for run in runs:
        if isinstance(run, SliceSpec) and method.base is not BaseRole.NONE:
            what, hint = "no slice of one donor", "blend all slices, or none"
            if run.start == run.stop == 0:
                what, hint = "no embedding or head of one donor", "blend embedding and head as the layers are"
            context.refuse(f"mergekit's {method.name} takes {what}", run.mark, hint)
        elif isinstance(run, SliceSpec) and run.scale is not None:
            context.refuse(f"mergekit cannot scale a slice in a {method.name} file", run.mark)


def _check_donors(context: WriteContext) -> None:
    for donor in context.spec.donors:
        if donor.stage is None and donor.source is None:
            context.refuse(f"donor '{donor.name}' is a stack; mergekit needs it built first", donor.mark)
        for source in (donor.source or "", *(adapter.source for adapter in donor.adapters)):
            if "+" in source:
                context.refuse(f"mergekit reads the '+' in {source} as a LoRA", donor.mark)
        if len(donor.adapters) > 1 or any(adapter.weight != 1.0 for adapter in donor.adapters):
            message = f"mergekit folds one LoRA of weight 1 into a model, and donor '{donor.name}' has other adapters"
            context.refuse(message, donor.mark, "build the donor alone first, and name the result")
        if donor.adapters and donor.stage is not None:
            context.refuse(f"mergekit folds no LoRA into another document's result, as '{donor.name}' has", donor.mark)


def _add_ends(spec: StackSpec, runs: tuple[SliceOrBlend, ...]) -> tuple[SliceOrBlend, ...]:
    """The runs, with a slice of no layers first or last where mergekit would make another embedding or head.

    mergekit makes the embedding with the donors, op and parameters of the first slice, and the head with those of the
    last slice.
    """
    if not runs:
        return runs
    ends = ((spec.embed, runs[0]), (spec.head, runs[-1]))
    given = [part or SliceSpec(_find_first_donor((run,))) for part, run in ends]
    alike = [
        is_same_part(_add_base(part, spec), _add_base(make_outer_part(run), spec))
        for part, (_, run) in zip(given, ends, strict=True)
    ]
    before, after = (() if same else (_empty(part),) for part, same in zip(given, alike, strict=True))
    return (*before, *runs, *after)


def _empty(part: SliceOrBlend) -> SliceOrBlend:
    """A slice or blend of no layers with the donors, op and parameters of an embedding or head."""
    if isinstance(part, SliceSpec):
        return replace(part, start=0, stop=0)
    base = replace(part.base, start=0, stop=0) if part.base else None
    return replace(part, sources=tuple(replace(source, start=0, stop=0) for source in part.sources), base=base)


def _check_head(context: WriteContext, runs: tuple[SliceOrBlend, ...]) -> None:
    counts = [len(run.sources) if isinstance(run, BlendSpec) else 1 for run in (runs[0], runs[-1])]
    if counts[0] < counts[1]:
        message = f"mergekit blends the head from as many donors as the first slice has ({counts[0]}), here {counts[1]}"
        context.refuse(message, runs[-1].mark)
