"""The stack as a Mermaid flowchart, for Markdown that draws them: a box a segment, the jumps between them."""

from __future__ import annotations

from collections.abc import Iterator

from stacker.core.graph import segments
from stacker.view.palette import donor_styles
from stacker.view.scene import Scene
from stacker.view.wording import making_text, node_text, source_text, span_text

_ESCAPES = str.maketrans({'"': "#quot;", "#": "#35;", "<": "#lt;", ">": "#gt;", "\n": " "})


def mermaid_text(scene: Scene) -> str:
    """A flowchart from the embedding to the head."""
    return "flowchart LR\n" + "".join(f"  {line}\n" for line in _lines(scene))


def _lines(scene: Scene) -> Iterator[str]:
    styles = donor_styles(list(scene.donors))
    numbers = {name: number for number, name in enumerate(styles)}
    jumps = scene.jumps
    yield f"embed([{_label('embedding', node_text(scene.graph.embed))}])"
    before = "embed"
    for number, segment in enumerate(segments(scene.graph)):
        words = (span_text(segment.start, segment.stop), source_text(segment), making_text(scene.graph, segment))
        arrow = f'-->|"{jumps[segment.start].jump:+d}"|' if segment.start in jumps else "-->"
        yield f"{before} {arrow} s{number}[{_label(*words)}]:::donor{numbers[segment.first.feeds[0].donor]}"
        before = f"s{number}"
    yield f"{before} --> head([{_label('head', node_text(scene.graph.head))}])"
    yield from (f"classDef donor{n} stroke:{styles[name].colour},stroke-width:3px" for name, n in numbers.items())


def _label(*words: str) -> str:
    return '"' + "<br/>".join(word.translate(_ESCAPES) for word in words if word) + '"'
