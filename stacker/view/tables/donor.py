"""Shows a donor as tables for the terminal and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich import filesize
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stacker.arch.files.architecture import Part
from stacker.core.study.layer_differences import group_layers
from stacker.core.values.donor import Donor, DonorTensor
from stacker.errors import Problem, ranges_text
from stacker.view.scene.tabular import count_text, make_pairs, make_table

_MOST_PROBLEMS = 3
"""The most problems that are shown for one stack of Trials."""
Trials = Mapping[str, tuple[Problem, ...]]
"""Errors of simple stacks of a donor that were planned as a test, by description of the stack; () if it would work."""


def draw_donor(donor: Donor, trials: Trials) -> RenderableType:
    """Tables about a donor: its family, depth and size, groups of alike layers, and tensors by role.

    Last come the results of `trials`: which simple stacks of the donor would work.
    """
    ignored = [Text(f"not carried: {name}: {reason}", "dim") for name, reason in donor.ignored]
    parts = (make_pairs(_list_facts(donor)), Text(), _draw_kinds(donor), Text(), _draw_roles(donor))
    return Group(*parts, *ignored, Text(), *_draw_trials(trials))


def _draw_kinds(donor: Donor) -> Table:
    rows = []
    for kind in group_layers(donor):
        layers = f"{len(kind.layers)}: {ranges_text(kind.layers)}"
        rows.append((layers, f"{count_text(kind.parameters)} each", kind.distinction or "all alike"))
    return make_table(("layers", "parameters", "kind"), rows)


def _draw_roles(donor: Donor) -> Table:
    groups = sorted(_group_by_role(donor).items(), key=lambda group: list(Part).index(group[0][0]))
    rows = [
        (str(part), role, str(len(tensors)), _shapes_text(tensors), _size_text(tensors))
        for (part, role), tensors in groups
    ]
    return make_table(("part", "role", "tensors", "shape", "bytes"), rows, right=("tensors", "bytes"))


def _shapes_text(tensors: list[DonorTensor]) -> str:
    """The first three distinct shapes of the tensors as text, then `…` if there are more."""
    shapes = sorted({tensor.spec.shape for tensor in tensors})
    return " ".join(f"[{', '.join(map(str, shape))}]" for shape in shapes[:3]) + (" …" if shapes[3:] else "")


def _size_text(tensors: Iterable[DonorTensor]) -> str:
    return filesize.decimal(sum(tensor.spec.nbytes for tensor in tensors))


def _draw_trials(trials: Trials) -> Iterator[Text]:
    """Yield a line for each stack of `trials` with its result, `fine` or `refused`.

    Below a refused stack come its first problems and their hints.
    """
    yield Text("stacked", "bold")
    for trial, problems in trials.items():
        result = ("refused", "red") if problems else ("fine", "green")
        yield Text.assemble(f"  {trial}: ", result)
        for problem in problems[:_MOST_PROBLEMS]:
            yield Text(f"    {problem.message}")
            if problem.hint:
                yield Text(f"      hint: {problem.hint}", "cyan")


def _list_facts(donor: Donor) -> dict[str, str]:
    family = donor.architecture
    elements = sum(tensor.spec.elements for tensor in donor.tensors.values())
    facts = {
        "donor": donor.source + (f"@{donor.revision}" if donor.revision else ""),
        "family": family.name + (" (inferred from names and config)" if family.inferred else ""),
        "layers": str(donor.depth),
        "parameters": count_text(elements),
        "size": f"{_size_text(donor.tensors.values())} in {len(donor.files)} file{'s'[: len(donor.files) > 1]}",
        "types": ", ".join(f"{label} × {count}" for label, count in _count_dtypes(donor).items()),
        "tokenizer": _tokenizer_text(donor),
    }
    if donor.quantized:
        facts["quantised"] = f"{donor.quantized}: layers can be moved, but not blended or scaled"
    if not donor.weights:
        facts["weights"] = "none here: sizes follow from the config"
    return facts


def _tokenizer_text(donor: Donor) -> str:
    """The files of a donor's tokenizer, or what the metadata of a GGUF file says about it; `none` without one."""
    entries = {entry.key: entry for entry in donor.metadata}
    tokens = entries.get("tokenizer.ggml.tokens")
    if tokens is None:
        return ", ".join(file.name for file in donor.side_files if "token" in file.name) or "none"
    kinds = (entries[key].value for key in ("tokenizer.ggml.model", "tokenizer.ggml.pre") if key in entries)
    template = ", with a chat template" if "tokenizer.chat_template" in entries else ""
    return f"{' '.join(map(str, kinds)) or 'unnamed'} in the metadata, {tokens.count:,} tokens{template}"


def _count_dtypes(donor: Donor) -> dict[str, int]:
    return dict(Counter(tensor.spec.dtype.label for tensor in donor.tensors.values()).most_common())


def _group_by_role(donor: Donor) -> dict[tuple[Part, str], list[DonorTensor]]:
    groups: dict[tuple[Part, str], list[DonorTensor]] = {}
    for tensor in donor.tensors.values():
        groups.setdefault((tensor.part, tensor.role), []).append(tensor)
    return groups


def donor_json(donor: Donor, trials: Trials) -> dict[str, Any]:
    """A donor as a JSON value, with the part, layer, role, dtype and shape of every tensor.

    It also has the error messages of the stacks in `trials`, by description of the stack.
    """
    return {
        "source": donor.source,
        "revision": donor.revision,
        "family": donor.architecture.name,
        "inferred": donor.architecture.inferred,
        "layers": donor.depth,
        "quantized": donor.quantized or None,
        "weights": donor.weights,
        "files": [{"name": file.name, "size": file.size, "header_sha256": file.header} for file in donor.files],
        "tensors": [
            {
                "name": name,
                "part": str(tensor.part),
                "layer": tensor.layer,
                "role": tensor.role,
                "dtype": tensor.spec.dtype.label,
                "shape": list(tensor.spec.shape),
                "bytes": tensor.spec.nbytes,
            }
            for name, tensor in donor.tensors.items()
        ],
        "kinds": [
            {"layers": list(kind.layers), "parameters": kind.parameters, "words": kind.distinction}
            for kind in group_layers(donor)
        ],
        "stacked": {trial: [problem.message for problem in problems] for trial, problems in trials.items()},
        "ignored": dict(donor.ignored),
    }
