"""A spec as a mergekit file, where mergekit can say it; where it cannot, every reason with its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from stacker.errors import Problem, raise_problems
from stacker.spec.language.settings import shown_dtype, shown_size
from stacker.spec.language.stack_spec import (
    BlendSpec,
    OutputSpec,
    SliceOrBlend,
    SliceSpec,
    StackSpec,
)
from stacker.spec.language.tokenizer_text import mergekit_tokenizer
from stacker.spec.mergekit.methods import METHODS, BaseRole, Method, outside_of, same_part
from stacker.spec.mergekit.runs import count_layers, make_runs
from stacker.spec.mergekit.slices_text import base_of, shown_body
from stacker.spec.mergekit.writing import Names, Writing, in_text_order
from stacker.text.emitter import Tree, write_yaml


def to_mergekit(spec: StackSpec, depths: Mapping[str, int] | None = None, names: Names | None = None) -> str:
    """The spec in mergekit's language; SpecError lists each thing that mergekit cannot say.

    `depths` are the donors' numbers of layers, needed where a slice gives no end. `names` are, for each role, parts of
    tensor names that select the same tensors, needed where a parameter goes by role. Donors that are stages become
    documents before it; the depths of a stage's own donors stand under `stage/donor`.
    """
    found: list[Problem] = []
    texts = _documents(Writing(spec, depths or {}, names or {}, found), {})
    raise_problems(sorted(dict.fromkeys(found), key=in_text_order))
    remark = "# for mergekit-multi: each document but the last is built first\n" if len(texts) > 1 else ""
    return remark + "---\n".join(texts)


def _documents(writing: Writing, seen: dict[str, str]) -> list[str]:
    """The texts of a spec's stages, each once and before what names it, and its own."""
    depths = dict(writing.depths)
    for donor in writing.spec.donors:
        if donor.stage is not None and donor.stack is not None:
            below = {key.removeprefix(f"{donor.name}/"): depth for key, depth in writing.depths.items()}
            inner = replace(writing, spec=donor.stage, depths=below)
            if donor.stack not in seen:
                texts = _documents(inner, seen)
                seen[donor.stack] = f"name: {donor.stack}\n{texts[-1]}"
            count = count_layers(inner)
            depths |= {donor.name: count} if count is not None else {}
    text = _document(replace(writing, depths=depths))
    return [*seen.values(), _remarks(writing.spec, text) + write_yaml(text)]


def _document(writing: Writing) -> dict[str, Tree]:
    spec = writing.spec
    runs = make_runs(writing)
    method = _method(writing, runs)
    _check_donors(writing)
    if runs:
        _check_outside(writing, runs)
    first = _first_donor(runs)
    embed = _first_donor((spec.embed,) if spec.embed else runs)
    config = spec.config or embed or first
    tokenizer = spec.tokenizer or embed
    text: dict[str, Tree] = {"merge_method": method.name}
    if _takes_base_model(writing, runs, method):
        text["base_model"] = writing.donor(config)
    else:
        _check_without_base_model(writing, config, embed, tokenizer)
    text |= shown_body(writing, runs, method, config)
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
    return text


def _with_base(part: SliceOrBlend, spec: StackSpec) -> SliceOrBlend:
    """A blend with the spec's base where it has none of its own."""
    if isinstance(part, SliceSpec) or part.base or spec.base is None:
        return part
    return replace(part, base=SliceSpec(spec.base))


def _remarks(spec: StackSpec, text: Mapping[str, Tree]) -> str:
    remarks = []
    if spec.output.shard_size != OutputSpec().shard_size:
        remarks.append(f"# run mergekit-yaml with --out-shard-size {shown_size(spec.output.shard_size)}\n")
    if "base_model" not in text:
        remarks.append("# without a base_model, mergekit takes config and tokenizer of any of the models\n")
    if "tokenizer_source" in text:
        remarks.append("# where tokenizers differ, mergekit moves embedding and head rows to tokenizer_source's\n")
    return "".join(remarks)


def _first_donor(runs: tuple[SliceOrBlend, ...]) -> str:
    if not runs:
        return ""
    first = runs[0]
    return first.donor if isinstance(first, SliceSpec) else first.sources[0].donor


def _method(writing: Writing, runs: tuple[SliceOrBlend, ...]) -> Method:
    """The one method of the file: that of its blends, or passthrough."""
    blends = [run for run in runs if isinstance(run, BlendSpec)]
    by_op = {method.op: method for method in METHODS.values() if method.op} | {"mean": METHODS["linear"]}
    for run in blends:
        if run.op not in by_op:
            writing.refuse(f"mergekit has no method for the op '{run.op}'", run.mark)
        elif by_op[run.op] != by_op.get(blends[0].op):
            writing.refuse(f"mergekit has one method in a file: '{blends[0].op}' above, '{run.op}' here", run.mark)
    method = by_op.get(blends[0].op, METHODS["passthrough"]) if blends else METHODS["passthrough"]
    if method.op:
        _check_plain(writing, runs, method)
    return method


def _takes_base_model(writing: Writing, runs: tuple[SliceOrBlend, ...], method: Method) -> bool:
    """Whether a base_model may be written, which gives config and tokenizer too: not where it would be a base."""
    if method.base is not BaseRole.OPTIONAL:
        return True
    based = [bool(base_of(writing, run, method)) for run in runs]
    if len(set(based)) > 1:
        without = runs[based.index(False)]
        writing.refuse(f"mergekit's {method.name} has a base in all slices or in none", without.mark)
    return any(based)


def _check_without_base_model(writing: Writing, config: str, embed: str, tokenizer: str) -> None:
    for key, donor in (("config", config), ("tokenizer", tokenizer)):
        if donor != embed:
            message = f"mergekit takes its {key} from base_model, which this op would compare with"
            writing.refuse(message, writing.spec.mark_of(key))
    if writing.spec.vocabulary and writing.spec.vocabulary.union:
        message = "mergekit's union begins with the base_model's tokenizer, and this op would compare with it"
        writing.refuse(message, writing.spec.mark_of("tokenizer"))


def _check_plain(writing: Writing, runs: tuple[SliceOrBlend, ...], method: Method) -> None:
    for run in runs:
        if isinstance(run, SliceSpec) and method.base is not BaseRole.NONE:
            hint = "blend all slices, or none"
            writing.refuse(f"mergekit's {method.name} takes no slice of one donor", run.mark, hint)
        elif isinstance(run, SliceSpec) and run.scale is not None:
            writing.refuse(f"mergekit cannot scale a slice in a {method.name} file", run.mark)


def _check_donors(writing: Writing) -> None:
    for donor in writing.spec.donors:
        if donor.stage is None and donor.source is None:
            writing.refuse(f"donor '{donor.name}' is a stack; mergekit needs it built first", donor.mark)
        elif donor.source is not None and "+" in donor.source:
            writing.refuse(f"mergekit reads the '+' in {donor.source} as a LoRA", donor.mark)


def _check_outside(writing: Writing, runs: tuple[SliceOrBlend, ...]) -> None:
    """mergekit makes the embedding as it makes the first slice, and final norm and head as the last."""
    spec = writing.spec
    for key, part, run, where in (("embed", spec.embed, runs[0], "first"), ("head", spec.head, runs[-1], "last")):
        given = part or SliceSpec(_first_donor((run,)))
        if not same_part(_with_base(given, spec), _with_base(outside_of(run), spec)):
            mark = spec.mark_of(key) if part else run.mark
            message = f"mergekit makes the {key} as it makes the {where} slice, and here it is made otherwise"
            writing.refuse(message, mark, f"write '{key}' as that slice is: the same donors, op and parameters")
    counts = [len(run.sources) if isinstance(run, BlendSpec) else 1 for run in (runs[0], runs[-1])]
    if counts[0] < counts[1]:
        message = f"mergekit blends the head from as many donors as the first slice has ({counts[0]}), here {counts[1]}"
        writing.refuse(message, runs[-1].mark)
