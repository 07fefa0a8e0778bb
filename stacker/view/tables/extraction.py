"""Shows what an extracted LoRA has of each kind of tensor, and what it leaves out, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from math import sqrt
from typing import Any

from rich.console import Group
from rich.text import Text

from stacker.run.adapters.extraction import LEFT_OUT, ExtractedTensor, Extraction
from stacker.view.scene.tabular import count_text, make_table


def draw_extraction(found: Extraction) -> Group:
    """A table with a line for each role, and a sentence on the whole."""
    head = ("role", "tensors", "rank", "changed by", "of it left out", "parameters")
    table = make_table(head, list(_list_lines(found)), right=head[1:])
    total = sum(tensor.parameters for tensor in found.tensors)
    lines = [
        f"{count_text(total)} parameters in {len(found.tensors)} changed tensors; {found.unchanged} did not change"
    ]
    missing = [tensor.name for tensor in found.tensors if tensor.how == LEFT_OUT]
    if missing:
        lines.append(f"not in the LoRA, because peft has no place for them: {', '.join(missing[:5])}")
    return Group(table, *(Text(line) for line in lines))


def _list_lines(found: Extraction) -> Iterator[tuple[str, ...]]:
    for role in dict.fromkeys(tensor.role for tensor in found.tensors):
        own = [tensor for tensor in found.tensors if tensor.role == role]
        count = count_text(sum(tensor.parameters for tensor in own))
        yield role, str(len(own)), _rank_text(own), _mean_text(own, "changed"), _mean_text(own, "lost"), count


def _rank_text(tensors: Sequence[ExtractedTensor]) -> str:
    """The ranks of the low-rank products, as a range; for tensors that are not products, how they are stored."""
    ranks = [tensor.rank for tensor in tensors if tensor.rank]
    if not ranks:
        return tensors[0].how
    return str(ranks[0]) if min(ranks) == max(ranks) else f"{min(ranks)}–{max(ranks)}"


def _mean_text(tensors: Sequence[ExtractedTensor], name: str) -> str:
    """The root mean square of a relative norm over several tensors, as a percentage."""
    return f"{100 * sqrt(sum(getattr(tensor, name) ** 2 for tensor in tensors) / len(tensors)):.3g} %"


def extraction_json(found: Extraction) -> dict[str, Any]:
    """The same as JSON, with an entry for each changed tensor."""
    return {
        "config": dict(found.config),
        "unchanged": found.unchanged,
        "tensors": [asdict(tensor) for tensor in found.tensors],
    }
