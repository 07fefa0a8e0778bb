"""Compiles the metadata of a GGUF stack from that of its template, and reports why a stack cannot have one.

Entries that stay as they are keep the place of their bytes in the donor's file; tokens are never read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from stacker.arch.dimensions import PREDICTION_KEYS
from stacker.arch.gguf import MOST_LAYERS
from stacker.core.config.bindings import check_bindings
from stacker.core.config.layer_entries import LayerEntries, apply_layer_rules
from stacker.core.config.refusals import OutputLayer
from stacker.core.stack.graph import StackGraph
from stacker.core.values.donor import Donor
from stacker.core.values.metadata import MetadataEntry
from stacker.errors import Blame, Problem
from stacker.formats.ggml_types import FILE_TYPES
from stacker.formats.gguf import ALIGNMENT, ALIGNMENT_KEY
from stacker.formats.json_object import Json
from stacker.spec.language.stack_spec import StackSpec
from stacker.tensors import TensorSpec

_TOKENIZER = "tokenizer."
_TOKENS = "tokenizer.ggml.tokens"
_KEPT_GENERAL = ("general.architecture", "general.type", "general.quantization_version", "general.sampling.")
"""Keys, or beginnings of keys, of the template that also describe the stack."""
_SHARED_GENERAL = ("general.license", "general.languages", "general.source.")
"""Beginnings of keys that also describe the stack if all its donors say the same."""
_ORIGINS = ("author", "version", "organization", "url", "doi", "uuid", "repo_url")
"""What the metadata of a donor says of it under `general.`, and that of a stack under `general.base_model.N.`."""
_HUB = "https://huggingface.co/"


@dataclass(slots=True)
class _Entries:
    """Metadata that is being compiled, by key in order."""

    found: dict[str, MetadataEntry] = field(default_factory=dict)

    def set(self, key: str, value: Json, kind: str = "") -> None:
        """Set a value; if `kind` is "", the entry keeps its kind, and a new one gets the kind that fits the value."""
        old = self.found.get(key)
        if old and old.value == value and not kind:
            return
        kinds = old.kind if old and _holds(old.kind, value) else ""
        self.found[key] = MetadataEntry(key, kind or kinds or _choose_kind(value), value)


def compile_metadata(
    spec: StackSpec,
    graph: StackGraph,
    donors: Mapping[str, Donor],
    tensors: Sequence[TensorSpec],
    *,
    tied: bool | None,
) -> tuple[tuple[MetadataEntry, ...], tuple[Problem, ...]]:
    """The metadata of a stack of GGUF donors, and its problems.

    `tensors` are the planned tensors and `tied` says whether the head is the embedding; None while they are unknown.
    """
    template, tokenizer = donors[graph.template], donors[graph.tokenizer]
    embed, head = donors[graph.embed.feeds[0].donor], donors[graph.head.feeds[0].donor]
    outputs = [
        OutputLayer(node.index, tuple((donors[feed.donor], feed.layer or 0) for feed in node.feeds), node.mark)
        for node in graph.layers
    ]
    changes = apply_layer_rules(template, outputs, (embed, head))
    entries = _Entries()
    _describe_stack(entries, spec.name, template, _list_used(graph, donors), tensors)
    _set_architecture(entries, template, len(outputs), changes, embed)
    for entry in tokenizer.metadata:
        if entry.key.startswith(_TOKENIZER):
            entries.found[entry.key] = entry
    problems = (
        *changes.problems,
        *check_bindings(template, outputs, spec.ignored_keys),
        *_check_depth(len(outputs)),
        *_check_tokens(tokenizer, embed),
        *_check_head(graph, template, tied=tied),
    )
    return tuple(entries.found.values()), problems


def choose_alignment(donors: Mapping[str, Donor]) -> int:
    """The alignment of a stack's tensors: the smallest of its donors, but at least the usual 32 bytes."""
    return max(ALIGNMENT, min(donor.alignment for donor in donors.values()))


def _list_used(graph: StackGraph, donors: Mapping[str, Donor]) -> list[Donor]:
    return [donors[name] for name in dict.fromkeys(feed.donor for node in graph.nodes for feed in node.feeds)]


def _describe_stack(
    entries: _Entries, name: str, template: Donor, used: Sequence[Donor], tensors: Sequence[TensorSpec]
) -> None:
    """Add what the metadata says of the model as a whole: its name, size, type and origin."""
    for entry in template.metadata:
        agreed = len({str(donor.config.get(entry.key)) for donor in used}) == 1
        if entry.key.startswith(_KEPT_GENERAL) or (agreed and entry.key.startswith(_SHARED_GENERAL)):
            entries.found[entry.key] = entry
    entries.set("general.name", name, "str")
    if tensors:
        entries.set("general.size_label", format_size_label(sum(tensor.elements for tensor in tensors)), "str")
        entries.set("general.file_type", choose_file_type(tensors, used), "u32")
    alignment = choose_alignment({donor.name: donor for donor in used})
    if alignment != ALIGNMENT:
        entries.set(ALIGNMENT_KEY, alignment, "u32")
    entries.set("general.base_model.count", len(used), "u32")
    for number, donor in enumerate(used):
        begin = f"general.base_model.{number}."
        entries.set(f"{begin}name", str(donor.config.get("general.name") or donor.name), "str")
        for key in _ORIGINS:
            stated = donor.config.get(f"general.{key}")
            if isinstance(stated, str):
                entries.set(begin + key, stated, "str")
        if donor.revision:
            entries.set(f"{begin}repo_url", _HUB + donor.source.partition(":")[0], "str")


def _set_architecture(entries: _Entries, template: Donor, depth: int, changes: LayerEntries, embed: Donor) -> None:
    """Add the entries that the template's loader reads, with those that follow the layers rewritten."""
    scope = template.architecture.scope
    for entry in template.metadata:
        if entry.key.startswith(scope):
            entries.found[entry.key] = entry
    entries.set(f"{scope}block_count", depth)
    for key in PREDICTION_KEYS:
        if entries.found.get(scope + key):
            entries.set(scope + key, 0)
    for key in changes.drop - changes.entries.keys():
        entries.found.pop(scope + key, None)
    for key, value in changes.entries.items():
        entries.set(scope + key, value)
    rows = count_embedding_rows(embed)
    if rows and f"{scope}vocab_size" in entries.found:
        entries.set(f"{scope}vocab_size", rows)


def count_embedding_rows(donor: Donor) -> int | None:
    """The number of rows of a donor's token embedding; None if it has none."""
    return next((each.spec.shape[0] for each in donor.tensors.values() if each.role == "embed"), None)


def _check_depth(depth: int) -> Iterator[Problem]:
    if depth > MOST_LAYERS:
        yield Problem(f"the stack has {depth} layers; llama.cpp loads at most {MOST_LAYERS}", "use fewer layers")


def _check_tokens(tokenizer: Donor, embed: Donor) -> Iterator[Problem]:
    """Report a tokenizer that does not have exactly one token for each row of the embedding."""
    tokens = next((entry.count for entry in tokenizer.metadata if entry.key == _TOKENS), None)
    rows = count_embedding_rows(embed)
    if tokens is not None and rows is not None and tokens != rows:
        message = (
            f"the tokenizer of '{tokenizer.name}' has {tokens} tokens, the embedding of '{embed.name}' {rows} rows"
        )
        yield Problem(message, f"take both from one donor: `tokenizer: {embed.name}`", blame=Blame.DONOR)


def _check_head(graph: StackGraph, template: Donor, *, tied: bool | None) -> Iterator[Problem]:
    if template.architecture.no_head and tied is False:
        name = graph.embed.feeds[0].donor
        message = f"llama.cpp always uses the embedding of '{template.architecture.name}' as head, and loads no other"
        yield Problem(message, f"take both from one donor: `head: {name}`", graph.head.mark)


def choose_file_type(tensors: Sequence[TensorSpec], used: Sequence[Donor]) -> int:
    """`general.file_type` of a stack: what all its donors say, if the type that most of its bytes have is theirs too.

    That keeps what types of tensors do not tell, for example Q4_K_S instead of Q4_K_M.
    """
    found = find_file_type(tensors)
    stated = {donor.config.get("general.file_type") for donor in used}
    own = {find_file_type([tensor.spec for tensor in donor.tensors.values()]) for donor in used}
    kept = stated.pop() if len(stated) == 1 else None
    return kept if isinstance(kept, int) and own == {found} else found


def find_file_type(tensors: Sequence[TensorSpec]) -> int:
    """`general.file_type` of a file: that of the tensor type that most of its bytes have."""
    sizes: dict[str, int] = {}
    for tensor in tensors:
        sizes[tensor.dtype.label] = sizes.get(tensor.dtype.label, 0) + tensor.nbytes
    known = {label: size for label, size in sizes.items() if label in FILE_TYPES}
    return FILE_TYPES[max(known, key=known.__getitem__)] if known else 0


def format_size_label(parameters: int) -> str:
    """A number of parameters as llama.cpp writes it in `general.size_label`: 135M, 1.7B, 118B."""
    for power, unit in ((12, "T"), (9, "B"), (6, "M"), (3, "K")):
        if parameters > 10**power or unit == "K":
            break
    scaled = parameters / 10**power
    return f"{scaled:.{1 if round(scaled) < 10 else 0}f}{unit}"


def _holds(kind: str, value: Json) -> bool:
    """Whether values of a kind can be `value`."""
    if isinstance(value, list):
        return kind.startswith("[") and all(_holds(kind[1:-1], item) for item in value)
    if isinstance(value, bool):
        return kind in ("bool", "u8", "i8", "u32", "i32")
    if isinstance(value, int):
        return (kind[:1] == "u" and value >= 0) or kind[:1] in ("i", "f")
    return kind == "str" if isinstance(value, str) else kind[:1] == "f"


def _choose_kind(value: Json) -> str:
    if isinstance(value, list):
        return f"[{_choose_kind(value[0]) if value else 'u32'}]"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "u32" if value >= 0 else "i32"
    return "f32" if isinstance(value, float) else "str"
