"""Names and values that are syntax in a medium are text in every view."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser
from io import StringIO

from hypothesis import example, given, settings
from hypothesis import strategies as st

from stacker.cli.terminal.printing import SafeConsole
from stacker.view.files.diagrams import dot_text, mermaid_text
from stacker.view.files.page import html_text
from stacker.view.files.svg import svg_text
from stacker.view.scene.scene import Scene
from stacker.view.stack.preview import draw_preview
from tests.view.scenes import BLENDED, scene_of

SCENE = scene_of(BLENDED)
HOSTILE = (
    "\x1b[31m", "\x1b]8;;http://x\x07", "[/x]", "[red]", ":smile:", "<script>x</script>",
    "</title>", "</script>", "&lt;", "]]>",
    '"', "'", "\\", '\\"', "\n", "\r", "\x00", "\x9b31m", "\u202e", "#quot;", "end", "-->", "]:::x", "%%{init}%%",
    "@@data@@",
)  # fmt: skip
TEXTS = st.lists(st.sampled_from(HOSTILE) | st.text(st.characters(codec="utf-8"), max_size=5), max_size=5)


def hostile_scene(text: str) -> Scene:
    """The scene with this text as its name, as the name of a donor's family and as the name of an op."""
    layers = tuple(replace(node, op=text) if node.op else node for node in SCENE.graph.layers)
    template = SCENE.donors[SCENE.graph.template]
    family = replace(template.architecture, name=text)
    donors = {**SCENE.donors, template.name: replace(template, architecture=family)}
    return replace(SCENE, name=text, graph=replace(SCENE.graph, layers=layers), donors=donors)


class Tags(HTMLParser):
    """Counts the elements of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        del attrs
        self.found.append(tag)


PLAIN_TAGS = Tags(html_text(hostile_scene("plain"))).found
PLAIN_ELEMENTS = len(list(ET.fromstring(svg_text(hostile_scene("plain"))).iter()))


@settings(max_examples=25, deadline=None)
@given(TEXTS.map("".join))
@example("".join(HOSTILE))
@example("\x85")
def test_every_medium_escapes(text: str) -> None:
    """A hostile text adds no element to SVG or HTML, no line to DOT or Mermaid, and no control code to a terminal."""
    scene = hostile_scene(text)
    assert len(list(ET.fromstring(svg_text(scene)).iter())) == PLAIN_ELEMENTS
    assert Tags(html_text(scene)).found == PLAIN_TAGS
    strings = re.findall(r'"(?:[^"\\\n]|\\.)*"', dot_text(scene).split("\n")[0])
    assert [json.loads(each) for each in strings] == [text]
    mermaid = mermaid_text(scene).splitlines()
    assert len(mermaid) == len(mermaid_text(hostile_scene("plain")).splitlines())
    assert all(line.count('"') in (0, 2, 4) for line in mermaid)
    console = SafeConsole(width=100, record=True, file=StringIO(), markup=False, emoji=False)
    console.print(draw_preview(scene))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", console.export_text())
