"""The stack in the language of Graphviz: every layer of the stream, and the donor layers that feed it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from stacker.view.scene.palette import MUTED, donor_styles
from stacker.view.scene.scene import Scene

if TYPE_CHECKING:
    import networkx as nx


from stacker.core.stack.graph import find_segments
from stacker.view.scene.wording import making_text, node_text, source_text, span_text


def dot_text(scene: Scene) -> str:
    """A digraph that `dot -Tsvg` draws from left to right."""
    from stacker.core.study.network import network

    colours = {name: style.colour for name, style in donor_styles(list(scene.donors)).items()}
    lines = _lines(network(scene.graph, scene.donors), colours)
    head = f"digraph {_quoted(scene.name)} {{\n  rankdir=LR\n  node [shape=box, fontname=sans]\n"
    return head + "".join(f"  {line}\n" for line in lines) + "}\n"


def _lines(graph: nx.MultiDiGraph[str], colours: Mapping[str, str]) -> Iterator[str]:
    for name, told in graph.nodes(data=True):
        yield f"{_quoted(name)}{_attributes(_drawn(told, colours))}"
    for before, after, told in graph.edges(data=True):
        yield f"{_quoted(before)} -> {_quoted(after)}{_attributes(_line(told))}"


def _drawn(told: Mapping[str, Any], colours: Mapping[str, str]) -> dict[str, str]:
    if told["kind"] == "donor":
        return {"color": colours.get(told["donor"], MUTED), "fontcolor": colours.get(told["donor"], MUTED)}
    return {"style": "bold"} | ({"xlabel": told["op"]} if told.get("op") else {})


def _line(told: Mapping[str, Any]) -> dict[str, str]:
    if told["kind"] == "stream":
        return {"style": "bold", "weight": "9"} | ({"label": f"{told['jump']:+d}"} if "jump" in told else {})
    return {"style": "dashed"} if told["kind"] == "base" else {}


def _attributes(told: Mapping[str, str]) -> str:
    return f" [{', '.join(f'{key}={_quoted(value)}' for key, value in told.items())}]" if told else ""


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


_ESCAPES = str.maketrans({'"': "#quot;", "#": "#35;", "<": "#lt;", ">": "#gt;", "\n": " "})


def mermaid_text(scene: Scene) -> str:
    """A flowchart from the embedding to the head."""
    return "flowchart LR\n" + "".join(f"  {line}\n" for line in _mermaid_lines(scene))


def _mermaid_lines(scene: Scene) -> Iterator[str]:
    styles = donor_styles(list(scene.donors))
    numbers = {name: number for number, name in enumerate(styles)}
    jumps = scene.jumps
    yield f"embed([{_label('embedding', node_text(scene.graph.embed))}])"
    before = "embed"
    for number, segment in enumerate(find_segments(scene.graph)):
        words = (span_text(segment.start, segment.stop), source_text(segment), making_text(scene.graph, segment))
        arrow = f'-->|"{jumps[segment.start].jump:+d}"|' if segment.start in jumps else "-->"
        yield f"{before} {arrow} s{number}[{_label(*words)}]:::donor{numbers[segment.first.feeds[0].donor]}"
        before = f"s{number}"
    yield f"{before} --> head([{_label('head', node_text(scene.graph.head))}])"
    yield from (f"classDef donor{n} stroke:{styles[name].colour},stroke-width:3px" for name, n in numbers.items())


def _label(*words: str) -> str:
    return '"' + "<br/>".join(word.translate(_ESCAPES) for word in words if word) + '"'
