"""Makes the summary above each view of a stack as text: name, architecture family, number of layers, and figures."""

from __future__ import annotations

from rich import filesize
from rich.console import Group
from rich.text import Text

from stacker.core.stack.nodes import Node
from stacker.core.study.build_time import Origin
from stacker.core.study.figures import Figures
from stacker.core.study.sizes import ModelSizes, predict_weights
from stacker.view.scene.scene import Scene
from stacker.view.scene.tabular import count_text, make_pairs, seconds_text
from stacker.view.stack.programs import answers_text


def draw_summary(scene: Scene) -> Group:
    """A line with the stack's name, architecture family and number of layers, then the rows of `format_facts`."""
    return Group(title_text(scene), Text(), make_pairs(format_facts(scene), "dim"))


def title_text(scene: Scene) -> Text:
    """A line with the stack's name in bold, its architecture family, and its number of layers."""
    inferred = " (inferred from names and config)" if scene.family.inferred else ""
    count = len(scene.graph.layers)
    return Text.assemble(
        (scene.name, "bold"), f"  {scene.family.name}{inferred}, {count} layer{'' if count == 1 else 's'}"
    )


def format_facts(scene: Scene) -> dict[str, str]:
    """The text of each row of the summary, by the name of the row, such as `parameters` or `on disk`.

    The last rows are `ends`, the donors of the embedding, head, tokenizer and config, and `programs`, which lists the
    programs by whether they compute the stack correctly.
    """
    figures = scene.figures
    rows = format_figures(figures) if figures else {"figures": "none: the stack cannot be built as it is"}
    graph = scene.graph
    ends = f"embedding {_donors_text(graph.embed)}, head {_donors_text(graph.head)}"
    rows |= {"ends": f"{ends}, tokenizer {graph.tokenizer}, config {graph.template}"}
    return rows | ({"programs": answers_text(scene.verdicts)} if scene.verdicts else {})


def _donors_text(node: Node) -> str:
    return " + ".join(feed.donor for feed in node.feeds)


def format_figures(figures: Figures) -> dict[str, str]:
    """The sizes and costs of a stack as text, by the name of the row for each, such as `parameters` or `on disk`."""
    moved = figures.moved / max(1, figures.written)
    change = "moved unchanged, or shared with the donors where the filesystem clones"
    return {
        "parameters": count_text(figures.parameters) + _active_text(figures),
        "sizes": _sizes_text(figures.sizes),
        "on disk": f"{filesize.decimal(figures.nbytes)} of {_dtypes_text(figures)} in {_shards_text(figures.shards)}",
        "to run": _weights_text(figures.parameters),
        "KV cache": _cache_text(figures),
        "reads": filesize.decimal(figures.read),
        "writes": f"{filesize.decimal(figures.written)}, {moved:.0%} {change}",
        "memory": f"{filesize.decimal(figures.peak)} at the peak",
        "time": _time_text(figures),
    }


_ORIGINS = {
    Origin.DEFAULTS: "estimated from defaults; `stacker doctor --measure` measures this machine",
    Origin.MEASURED: "as measured on this machine",
    Origin.BUILDS: "as earlier builds on this machine took",
}


def _time_text(figures: Figures) -> str:
    """The estimated build time, what it was estimated from, and that copies take no time if blocks are cloned."""
    clones = "; almost none with clones" if figures.moved == figures.written else ""
    return f"about {seconds_text(figures.seconds)}, {_ORIGINS[figures.speeds.origin]}{clones}"


def _active_text(figures: Figures) -> str:
    if figures.active is None:
        return ", of which the config does not say how many are active"
    return f", {count_text(figures.active)} active for a token" if figures.active != figures.parameters else ""


def _dtypes_text(figures: Figures) -> str:
    return " and ".join(name for name, _ in figures.dtypes[:3])


def _shards_text(count: int) -> str:
    return f"{count} shard{'' if count == 1 else 's'}"


def _sizes_text(sizes: ModelSizes) -> str:
    """The sizes that are known: `hidden 8192, 64 heads (8 of keys and values), 32,000 tokens, context 4k`."""
    shared = f" ({sizes.kv_heads} of keys and values)" if sizes.kv_heads not in (None, sizes.heads) else ""
    parts = (
        sizes.hidden and f"hidden {sizes.hidden}",
        sizes.heads and f"{sizes.heads} heads{shared}",
        sizes.vocabulary and f"{sizes.vocabulary:,} tokens",
        sizes.context and f"context {_tokens_text(sizes.context)}",
    )
    return ", ".join(part for part in parts if part) or "not in the config"


def _weights_text(parameters: int) -> str:
    sizes = ", ".join(f"{filesize.decimal(size)} at {bits}" for bits, size in predict_weights(parameters).items())
    return f"{sizes} bits a weight, and the KV cache"


def _tokens_text(tokens: int) -> str:
    return f"{tokens // 1024}k" if tokens >= 1024 else str(tokens)


def _cache_text(figures: Figures) -> str:
    sizes = [figures.cache.nbytes(tokens) for tokens in figures.contexts]
    if None in sizes:
        return "not known for this kind of attention"
    each = ", ".join(
        f"{filesize.decimal(size or 0)} for {_tokens_text(tokens)}"
        for size, tokens in zip(sizes, figures.contexts, strict=True)
    )
    notes = "; ".join(figures.cache.notes)
    return f"{each} tokens" + (f" ({notes})" if notes else "")
