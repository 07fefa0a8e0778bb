"""The SVG drawing: well-formed, complete, within its axes."""

from __future__ import annotations

from xml.etree.ElementTree import Element, fromstring

import pytest

from stacker.view.files.svg import LEFT, PLOT, RIGHT, TOP, WIDTH, svg_text
from stacker.view.scene.palette import HUES
from tests.view.scenes import BLENDED, GOLIATH, REPEATED, SPECS, scene_of

NS = {"svg": "http://www.w3.org/2000/svg"}


def drawing(text: str) -> Element:
    """The drawing of a spec, read as XML."""
    return fromstring(svg_text(scene_of(text)))


def layers(root: Element) -> list[Element]:
    """The groups of the output layers."""
    return root.findall("svg:g[@class='layers']/svg:g", NS)


def test_every_layer_is_drawn_and_named() -> None:
    """137 layers from left to right, each with its source, and the jump before it, as a tooltip."""
    groups = layers(drawing(GOLIATH))
    assert [group.get("data-layer") for group in groups] == [str(index) for index in range(137)]
    assert (
        groups[16].findtext("svg:title", "", NS).startswith("layer 16: euryale[8]; jump -8: xwin to euryale; moderate:")
    )
    assert groups[17].findtext("svg:title", "", NS) == "layer 17: euryale[9]"


def test_jumps_are_lines_with_their_lengths() -> None:
    """Eight dashed lines, with the lengths below them."""
    root = drawing(GOLIATH)
    assert len(root.findall("svg:line[@class='jump']", NS)) == 8
    marked = [text.text for text in root.findall("svg:text[@text-anchor='middle']", NS)]
    assert marked.count("-7") == 7


def test_blends_show_both_colours() -> None:
    """A blended layer has a block of each donor, one above the other where they are the same layer."""
    group = layers(drawing(BLENDED))[6]
    blocks = group.findall("svg:rect", NS)
    assert [block.get("fill") for block in blocks] == [*HUES[:2]]
    heights = {block.get("height") for block in blocks}
    assert len(heights) == 1
    assert len({block.get("y") for block in blocks}) == 2


def test_layers_used_again_are_lighter() -> None:
    """Second and later uses of a donor layer have the class `again`."""
    again = [int(group.get("data-layer", "")) for group in layers(drawing(REPEATED)) if group.get("class")]
    assert again == [*range(16, 28)]


@pytest.mark.parametrize("text", SPECS.values(), ids=SPECS)
def test_nothing_is_drawn_outside(text: str) -> None:
    """Every block lies within the axes."""
    for block in drawing(text).findall("svg:g[@class='layers']/svg:g/svg:rect", NS):
        x, y, width, height = (float(block.get(key, "nan")) for key in ("x", "y", "width", "height"))
        assert LEFT <= x < x + width <= WIDTH - RIGHT + 1
        assert TOP - 1 <= y < y + height <= TOP + PLOT + 1


def test_it_follows_light_and_dark() -> None:
    """The style sheet has a rule for the dark colour scheme."""
    assert "prefers-color-scheme: dark" in svg_text(scene_of(GOLIATH))


def test_segments_and_weak_points_are_written_below() -> None:
    """A row for each of the nine segments, under the heads of the columns, then the notes."""
    words = [text.text for text in drawing(GOLIATH).findall("svg:text", NS)]
    below = words[words.index("across the jump") :]
    assert "euryale[8:24]" in below
    assert any(text and text.startswith("note: ") for text in below)


def test_a_gradient_is_a_curve() -> None:
    """A parameter that changes over the layers of a blend is drawn, with its least and largest value."""
    root = drawing(BLENDED)
    (curve, *_) = root.findall("svg:polyline", NS)
    heights = [float(point.split(",")[1]) for point in curve.get("points", "").split()]
    assert len({*heights}) > 1
    assert any((text.text or "").startswith("t, ") for text in root.findall("svg:text", NS))
    assert drawing(GOLIATH).findall("svg:polyline", NS) == []
