"""A donor as people and programs read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stacker.arch.files.architecture import Part
from stacker.core.study.layer_kinds import layer_kinds
from stacker.core.values.donor import Donor, DonorTensor
from stacker.errors import Problem, ranges_text
from stacker.view.scene.formatting import bytes_text, count_text

MOST = 3
"""Reasons told for one trial."""
Trials = Mapping[str, tuple[Problem, ...]]
"""What stands in the way of each of some simple stacks of the donor."""


def draw_donor(donor: Donor, trials: Trials) -> RenderableType:
    """Family, depth and size, kinds of layers, the tensors by role, and what would stop it from being stacked."""
    head = Table.grid(padding=(0, 2))
    head.add_column(style="bold")
    head.add_column(overflow="fold")
    for name, value in _facts(donor).items():
        head.add_row(name, value)
    roles = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("part", "role", "tensors", "shape", "bytes"):
        roles.add_column(column, justify="right" if column in ("tensors", "bytes") else "left", overflow="fold")
    for (part, role), tensors in sorted(_by_role(donor).items(), key=lambda item: list(Part).index(item[0][0])):
        shapes = sorted({tensor.spec.shape for tensor in tensors})
        shown = " ".join(f"[{', '.join(map(str, shape))}]" for shape in shapes[:3]) + (" …" if shapes[3:] else "")
        roles.add_row(str(part), role, str(len(tensors)), shown, bytes_text(sum(t.spec.nbytes for t in tensors)))
    ignored = [Text(f"not carried: {name}: {reason}", "dim") for name, reason in donor.ignored]
    return Group(head, Text(), _kinds(donor), Text(), roles, *ignored, Text(), *_obstacles(trials))


def _kinds(donor: Donor) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("layers", "parameters", "kind"):
        table.add_column(column, overflow="fold")
    for kind in layer_kinds(donor):
        count = f"{len(kind.layers)}: {ranges_text(kind.layers)}"
        table.add_row(count, f"{count_text(kind.parameters)} each", kind.words or "all alike")
    return table


def _obstacles(trials: Trials) -> Iterator[Text]:
    """Each trial with its verdict; reasons under those that fail."""
    yield Text("stacked", "bold")
    for words, problems in trials.items():
        verdict = ("refused", "red") if problems else ("fine", "green")
        yield Text.assemble(f"  {words}: ", verdict)
        for problem in problems[:MOST]:
            yield Text(f"    {problem.message}")
            if problem.hint:
                yield Text(f"      hint: {problem.hint}", "cyan")


def _facts(donor: Donor) -> dict[str, str]:
    family = donor.architecture
    elements = sum(tensor.spec.elements for tensor in donor.tensors.values())
    nbytes = sum(tensor.spec.nbytes for tensor in donor.tensors.values())
    facts = {
        "donor": donor.source + (f"@{donor.revision}" if donor.revision else ""),
        "family": family.name + (" (inferred from names and config)" if family.inferred else ""),
        "layers": str(donor.depth),
        "parameters": count_text(elements),
        "size": f"{bytes_text(nbytes)} in {len(donor.files)} file{'s'[: len(donor.files) > 1]}",
        "types": ", ".join(f"{label} × {count}" for label, count in _dtypes(donor).items()),
        "tokenizer": ", ".join(file.name for file in donor.side_files if "token" in file.name) or "none",
    }
    if donor.quantized:
        facts["quantised"] = f"{donor.quantized}: layers can be moved, not computed with"
    if not donor.weights:
        facts["weights"] = "none here: sizes are those that the config promises"
    return facts


def _dtypes(donor: Donor) -> dict[str, int]:
    return dict(Counter(tensor.spec.dtype.label for tensor in donor.tensors.values()).most_common())


def _by_role(donor: Donor) -> dict[tuple[Part, str], list[DonorTensor]]:
    found: dict[tuple[Part, str], list[DonorTensor]] = {}
    for tensor in donor.tensors.values():
        found.setdefault((tensor.part, tensor.role), []).append(tensor)
    return found


def donor_json(donor: Donor, trials: Trials) -> dict[str, Any]:
    """A donor for programs: every tensor with what it is and where it acts."""
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
            {"layers": list(kind.layers), "parameters": kind.parameters, "words": kind.words}
            for kind in layer_kinds(donor)
        ],
        "stacked": {words: [problem.message for problem in problems] for words, problems in trials.items()},
        "ignored": dict(donor.ignored),
    }
