"""The stack in the language of Graphviz: every layer of the stream, and the donor layers that feed it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from stacker.view.palette import MUTED, donor_styles
from stacker.view.scene import Scene

if TYPE_CHECKING:
    import networkx as nx


def dot_text(scene: Scene) -> str:
    """A digraph that `dot -Tsvg` draws from left to right."""
    from stacker.core.network import network

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
