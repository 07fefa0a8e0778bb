"""Writes a stack as the source text of a diagram, for Graphviz or for Mermaid.

Both have one box for each run of output layers that are made from consecutive donor layers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from stacker.core.stack.graph import Segment, find_segments
from stacker.errors import escape_text
from stacker.view.scene.formatting import method_text, node_source_text, source_text, span_text
from stacker.view.scene.palette import assign_styles
from stacker.view.scene.scene import Scene

_ENTITIES = str.maketrans({'"': "#quot;", "#": "#35;", "<": "#lt;", ">": "#gt;"})
"""Replacements for characters that are syntax in Mermaid."""


def dot_text(scene: Scene) -> str:
    """The stack as a Graphviz digraph from left to right, from the embedding to the head.

    Each box is a run of output layers made from consecutive donor layers. The arrow to a box is labelled with the
    number of donor layers skipped, such as `-8` for a step back.
    """
    head = f"digraph {_quote(scene.name)} {{\n  rankdir=LR\n  node [shape=box, fontname=sans]\n"
    return head + "".join(f"  {line}\n" for line in _dot_lines(scene)) + "}\n"


def _dot_lines(scene: Scene) -> Iterator[str]:
    styles = assign_styles(list(scene.donors))
    yield f"embed{_attributes_text({'label': _lines_text('embedding', node_source_text(scene.graph.embed))})}"
    before = "embed"
    for number, segment in enumerate(find_segments(scene.graph)):
        label = _lines_text(*_segment_words(scene, segment))
        yield f"s{number}{_attributes_text({'label': label, 'color': styles[segment.first.feeds[0].donor].colour})}"
        jump = {"label": f"{scene.jumps[segment.start].jump:+d}"} if segment.start in scene.jumps else {}
        yield f"{before} -> s{number}{_attributes_text(jump)}"
        before = f"s{number}"
    yield f"head{_attributes_text({'label': _lines_text('head', node_source_text(scene.graph.head))})}"
    yield f"{before} -> head"


def _segment_words(scene: Scene, segment: Segment) -> tuple[str, str, str]:
    """The output layers of a segment, the donor slices that it is made from, and how, as text."""
    return span_text(segment.start, segment.stop), source_text(segment), method_text(scene.graph, segment)


def _lines_text(*words: str) -> str:
    return "\n".join(escape_text(word, 1000) for word in words if word)


def _attributes_text(attributes: Mapping[str, str]) -> str:
    return f" [{', '.join(f'{key}={_quote(value)}' for key, value in attributes.items())}]" if attributes else ""


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def mermaid_text(scene: Scene) -> str:
    """The stack as a Mermaid flowchart from the embedding to the head.

    Each box is a run of output layers made from consecutive donor layers. The arrow to a box is labelled with the
    number of donor layers skipped, such as `-8` for a step back.
    """
    return "flowchart LR\n" + "".join(f"  {line}\n" for line in _mermaid_lines(scene))


def _mermaid_lines(scene: Scene) -> Iterator[str]:
    styles = assign_styles(list(scene.donors))
    numbers = {name: number for number, name in enumerate(styles)}
    jumps = scene.jumps
    yield f"embed([{_label_text('embedding', node_source_text(scene.graph.embed))}])"
    before = "embed"
    for number, segment in enumerate(find_segments(scene.graph)):
        words = _segment_words(scene, segment)
        arrow = f'-->|"{jumps[segment.start].jump:+d}"|' if segment.start in jumps else "-->"
        yield f"{before} {arrow} s{number}[{_label_text(*words)}]:::donor{numbers[segment.first.feeds[0].donor]}"
        before = f"s{number}"
    yield f"{before} --> head([{_label_text('head', node_source_text(scene.graph.head))}])"
    yield from (f"classDef donor{n} stroke:{styles[name].colour},stroke-width:3px" for name, n in numbers.items())


def _label_text(*words: str) -> str:
    return '"' + "<br/>".join(escape_text(word, 1000).translate(_ENTITIES) for word in words if word) + '"'
