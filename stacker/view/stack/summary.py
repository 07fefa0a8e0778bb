"""The head of a preview: what the stack is, and its figures in words."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table
from rich.text import Text

from stacker.core.stack.nodes import Node
from stacker.core.study.figures import CONTEXTS, WRITING, Figures
from stacker.view.scene.formatting import bytes_text, count_text, seconds_text
from stacker.view.scene.scene import Scene


def draw_summary(scene: Scene) -> Group:
    """Name, family and depth on a line, then the figures, one a row."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in format_facts(scene).items():
        table.add_row(name, value)
    return Group(title_text(scene), Text(), table)


def title_text(scene: Scene) -> Text:
    inferred = " (inferred from names and config)" if scene.family.inferred else ""
    count = len(scene.graph.layers)
    return Text.assemble(
        (scene.name, "bold"), f"  {scene.family.name}{inferred}, {count} layer{'' if count == 1 else 's'}"
    )


def format_facts(scene: Scene) -> dict[str, str]:
    """What the head says, by its name."""
    figures = scene.figures
    said = format_figures(figures) if figures else {"figures": "none: it cannot be built as it is"}
    graph = scene.graph
    ends = f"embedding {_names(graph.embed)}, head {_names(graph.head)}"
    return said | {"ends": f"{ends}, tokenizer {graph.tokenizer}, config {graph.template}"}


def _names(node: Node) -> str:
    return " + ".join(feed.donor for feed in node.feeds)


def format_figures(figures: Figures) -> dict[str, str]:
    """Every figure of a stack that can be built, in words."""
    moved = figures.moved / max(1, figures.written)
    change = "moved unchanged, or shared where the filesystem clones"
    return {
        "parameters": count_text(figures.parameters) + _active_words(figures),
        "on disk": f"{bytes_text(figures.nbytes)} of {_dtypes(figures)} in {_shards(figures.shards)}",
        "KV cache": _cache_words(figures),
        "reads": bytes_text(figures.read),
        "writes": f"{bytes_text(figures.written)}, {moved:.0%} {change}",
        "memory": f"{bytes_text(figures.peak)} at the peak",
        "time": f"about {seconds_text(figures.seconds)} {_terms(moved)}",
    }


def _terms(moved: float) -> str:
    clones = "; next to none with clones" if moved == 1 else ""
    return f"at {WRITING / 1e9:.1f} GB/s, as measured on a small machine{clones}"


def _active_words(figures: Figures) -> str:
    if figures.active is None:
        return ", of which the config does not say how many are active"
    return f", {count_text(figures.active)} active for a token" if figures.active != figures.parameters else ""


def _dtypes(figures: Figures) -> str:
    return " and ".join(name for name, _ in figures.dtypes[:3])


def _shards(count: int) -> str:
    return f"{count} shard{'' if count == 1 else 's'}"


def _cache_words(figures: Figures) -> str:
    sizes = [figures.cache.nbytes(tokens) for tokens in CONTEXTS]
    if None in sizes:
        return "not known for this kind of attention"
    each = ", ".join(
        f"{bytes_text(size or 0)} for {tokens // 1024}k" for size, tokens in zip(sizes, CONTEXTS, strict=True)
    )
    notes = "; ".join(figures.cache.notes)
    return f"{each} tokens" + (f" ({notes})" if notes else "")
