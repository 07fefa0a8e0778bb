"""Mermaid and Graphviz diagrams, and the table of file views."""

from __future__ import annotations

import re

from stacker.view.files.diagrams import dot_text, mermaid_text
from stacker.view.files.file_views import FILE_VIEWS
from tests.view.scenes import BLENDED, GOLIATH, scene_of


def test_mermaid_has_a_box_a_segment() -> None:
    """Goliath: nine boxes in a row between the ends, with the jumps on the arrows."""
    lines = mermaid_text(scene_of(GOLIATH)).splitlines()
    assert lines[0] == "flowchart LR"
    assert len([line for line in lines if re.match(r"  \w+ --> ?\S*.* s\d+\[|  \w+ -->\|", line)]) == 9
    assert '  s0 -->|"-8"| s1["16–31<br/>euryale[8:24]"]:::donor1' in lines


def test_mermaid_escapes_what_it_would_read_itself() -> None:
    """Quotes in names are replaced by entities."""
    text = mermaid_text(scene_of(GOLIATH.replace("name: goliath-120b", "name: x").replace("xwin", "x")))
    assert '"' not in re.sub(r'"[^"]*"', "", text)


def test_dot_has_a_box_a_segment() -> None:
    """Graphviz gets the same boxes as Mermaid, with both sources of a blend and its op."""
    text = dot_text(scene_of(BLENDED))
    assert text.startswith('digraph "blended" {')
    assert text.count("{") == text.count("}") == 1
    assert "a[6:14] + b[6:14]\\nslerp" in text
    boxes = re.findall(r"^  (\w+) \[label", text, re.MULTILINE)
    assert [boxes[0], boxes[-1]] == ["embed", "head"]
    assert len(boxes) - 2 == len(re.findall(r" s\d+\[", mermaid_text(scene_of(BLENDED))))


def test_dot_labels_jumps() -> None:
    """Arrows carry the length of the jump."""
    assert 's0 -> s1 [label="-8"]' in dot_text(scene_of(GOLIATH))


def test_every_view_is_text() -> None:
    """Every function of the table returns the text of a file."""
    scene = scene_of(BLENDED)
    assert all(view(scene).endswith(("\n", ">")) for view in FILE_VIEWS.values())
