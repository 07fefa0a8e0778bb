"""Writes a stack as the source text of a diagram, for Graphviz or for Mermaid.

Graphviz shows every output layer. Mermaid shows one box for each run of output layers that are made from consecutive
donor layers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from stacker.core.stack.graph import find_segments
from stacker.errors import escape_text
from stacker.view.scene.formatting import method_text, node_source_text, source_text, span_text
from stacker.view.scene.palette import MUTED, assign_styles
from stacker.view.scene.scene import Scene

if TYPE_CHECKING:
    import networkx as nx

_ENTITIES = str.maketrans({'"': "#quot;", "#": "#35;", "<": "#lt;", ">": "#gt;"})
"""Replacements for characters that are syntax in Mermaid."""


def dot_text(scene: Scene) -> str:
    """The stack as a Graphviz digraph from left to right, from the embedding to the head.

    An arrow leads to each output layer from every donor layer that the output layer is made from.
    """
    from stacker.core.study.network import build_network

    colours = {name: style.colour for name, style in assign_styles(list(scene.donors)).items()}
    lines = _dot_lines(build_network(scene.graph, scene.donors), colours)
    head = f"digraph {_quote(scene.name)} {{\n  rankdir=LR\n  node [shape=box, fontname=sans]\n"
    return head + "".join(f"  {line}\n" for line in lines) + "}\n"


def _dot_lines(graph: nx.MultiDiGraph[str], colours: Mapping[str, str]) -> Iterator[str]:
    for name, data in graph.nodes(data=True):
        yield f"{_quote(name)}{_attributes_text(_style_node(data, colours))}"
    for before, after, data in graph.edges(data=True):
        yield f"{_quote(before)} -> {_quote(after)}{_attributes_text(_style_edge(data))}"


def _style_node(data: Mapping[str, Any], colours: Mapping[str, str]) -> dict[str, str]:
    if data["kind"] == "donor":
        return {"color": colours.get(data["donor"], MUTED), "fontcolor": colours.get(data["donor"], MUTED)}
    return {"style": "bold"} | ({"xlabel": data["op"]} if data.get("op") else {})


def _style_edge(data: Mapping[str, Any]) -> dict[str, str]:
    if data["kind"] == "stream":
        return {"style": "bold", "weight": "9"} | ({"label": f"{data['jump']:+d}"} if "jump" in data else {})
    return {"style": "dashed"} if data["kind"] == "base" else {}


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
        words = (span_text(segment.start, segment.stop), source_text(segment), method_text(scene.graph, segment))
        arrow = f'-->|"{jumps[segment.start].jump:+d}"|' if segment.start in jumps else "-->"
        yield f"{before} {arrow} s{number}[{_label_text(*words)}]:::donor{numbers[segment.first.feeds[0].donor]}"
        before = f"s{number}"
    yield f"{before} --> head([{_label_text('head', node_source_text(scene.graph.head))}])"
    yield from (f"classDef donor{n} stroke:{styles[name].colour},stroke-width:3px" for name, n in numbers.items())


def _label_text(*words: str) -> str:
    return '"' + "<br/>".join(escape_text(word, 1000).translate(_ENTITIES) for word in words if word) + '"'
