"""Every op with the settings that it is tried with, and the text of its spec."""

from __future__ import annotations

from dataclasses import dataclass

BASE, PYTHON, PROSE = "smollm2", "python", "prose"
"""The names of the donors, which are also the names of their folders."""


@dataclass(frozen=True, slots=True)
class Blend:
    """A blend of all layers, embedding and head by an op; `settings` is text for the spec.

    If `layers` is given, it replaces the blend by other text for the spec, for ops that have only one source.
    """

    op: str
    settings: str = ""
    base: str = ""
    sources: tuple[str, ...] = (PYTHON, PROSE)
    layers: str = ""


BLENDS = (
    Blend("passthrough", layers="'python[0:15]', 'prose[15:30]'"),
    Blend("zero", layers="'python[0:15]', {blend: ['python[14]'], op: zero}, 'prose[15:30]'"),
    Blend("linear", "weight: 0.5"),
    Blend("mean"),
    Blend("wise_ft", "alpha: 0.5", BASE, (PYTHON,)),
    Blend("slerp", "t: 0.5"),
    Blend("nuslerp", "weight: 0.5"),
    Blend("multislerp", "weight: 0.5"),
    Blend("karcher"),
    Blend("task_arithmetic", "weight: 1.0", BASE),
    Blend("ties", "density: 0.5", BASE),
    Blend("dare_linear", "density: 0.5", BASE),
    Blend("dare_ties", "density: 0.5", BASE),
    Blend("della_linear", "density: 0.5, epsilon: 0.1", BASE),
    Blend("della", "density: 0.5, epsilon: 0.1", BASE),
    Blend("breadcrumbs", "density: 0.9, gamma: 0.01", BASE),
    Blend("breadcrumbs_ties", "density: 0.9, gamma: 0.01", BASE),
    Blend("sce", "select_topk: 0.5", BASE),
    Blend("model_stock", base=BASE),
    Blend("nearswap", "t: 0.0005", PROSE, (PYTHON,)),
    Blend("arcee_fusion", base=PROSE, sources=(PYTHON,)),
    Blend("ram", "epsilon: 0.00001", BASE),
    Blend("ramplus_tl", "r: 0.1, alpha: 0.2", BASE),
)
"""One blend for each op. nearswap and arcee_fusion move one model towards another, here the one tuned on prose."""


def spec_text(blend: Blend) -> str:
    """The spec of a blend; its file belongs in the folder that holds the donors' folders."""
    donors = sorted({*blend.sources, blend.base} - {""})
    lines = ["stacker: 1", f"name: tunes-{blend.op}", "donors:", *(f"  {name}: ./{name}" for name in donors)]
    if blend.base:
        lines.append(f"base: {blend.base}")
    if blend.layers:
        return "\n".join([*lines, f"stack: [{blend.layers}]"]) + "\n"
    keys = ", ".join(filter(None, (f"blend: [{', '.join(blend.sources)}]", f"op: {blend.op}", blend.settings)))
    return "\n".join([*lines, f"stack: [{{{keys}}}]", f"embed: {{{keys}}}", f"head: {{{keys}}}"]) + "\n"
