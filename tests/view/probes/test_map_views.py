"""A map is drawn completely on the terminal, as SVG and as a page, whatever its names and numbers are."""

from __future__ import annotations

import io
import json
from math import inf
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from stacker.measure.probes.edits import Edit, Way, list_edits
from stacker.measure.probes.results import Chance, Change, DepthMap, Interval, LayerFigures, Likeness, Proposal, Survey
from stacker.view.probes.heat import find_heat, make_panels
from stacker.view.probes.map_page import map_page_text
from stacker.view.probes.map_svg import map_svg_text
from stacker.view.probes.probe_json import map_json, proposal_json, survey_json
from stacker.view.probes.terminal import HeatMap, draw_likeness, draw_proposals, draw_survey
from stacker.view.probes.words import chance_text, verdict_text

CHANCE = Chance(22, 16, 2.5, 4.0, 3.0, 0.31)


def make_map(depth: int = 6, longest: int = 2, name: str = "a model") -> DepthMap:
    """A map whose change is 0.1 for each layer of the run, and infinite for a dropped first layer."""
    edits = list_edits(depth, longest, [(Way.REPEAT, 1.0), (Way.DROP, 1.0), (Way.HOP, 0.9)])
    changes = tuple(make_change(edit, inf if str(edit) == "drop 0:1" else 0.1 * edit.length) for edit in edits)
    return DepthMap(name, depth, 3.2, 2032, changes, len(changes), CHANCE)


def make_change(edit: Edit, mean: float) -> Change:
    return Change(edit, Interval(mean, mean - 0.01, mean + 0.01), Interval(mean, mean - 0.1, mean + 0.1))


def make_survey() -> Survey:
    layers = tuple(LayerFigures(each, 0.1, 50.0, None, 0.25, 5.0, 0.5) for each in range(6))
    return Survey("a model", 6, 100, layers, tuple(tuple(abs(a - b) / 10 for b in range(7)) for a in range(7)))


def drawn(renderable: object, width: int = 80, *, colour: bool = False) -> str:
    """What a console of this width shows."""
    console = Console(
        file=io.StringIO(), width=width, force_terminal=colour, color_system="truecolor" if colour else None
    )
    console.print(renderable)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


@pytest.mark.parametrize(
    ("change", "character"),
    [(-0.001, "-"), (0.0, "."), (0.019, "."), (0.02, ":"), (0.3, "*"), (1.0, "%"), (2.0, "@"), (inf, "@")],
)
def test_classes(change: float, character: str) -> None:
    """Limits belong to the higher class; exactly 0 is no gain."""
    assert find_heat(change).character == character


def test_every_edit_is_on_the_terminal() -> None:
    """Without colours, each row has a pair of characters for every run of its length."""
    lines = drawn(HeatMap(make_map())).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("drop"))
    assert lines[start + 1] == "  2 **********"
    assert lines[start + 2] == "  1 @@++++++++++"
    assert lines[start + 3].split() == ["0", "5"]
    assert sum(line.startswith(("repeat", "drop", "hop 0.9")) for line in lines) == 3


@pytest.mark.parametrize("width", [20, 40, 200])
def test_deep_models_are_divided_into_bands(width: int) -> None:
    """All 126 layers of a deep model are drawn, whatever the width, and no line is wider."""
    found = make_map(126, 1)
    lines = drawn(HeatMap(found), width).splitlines()
    rows = [line[4:] for line in lines if line.startswith("  1 ")]
    cells = 3 * 126 * (2 if width >= 126 * 2 + 4 else 1)
    assert sum(map(len, rows)) == cells
    assert all(len(line) <= width for line in lines)


def test_a_map_that_grows() -> None:
    """Edits that are missing are left blank, and the count is said."""
    found = make_map()
    part = DepthMap("x", 6, 3.2, 100, found.changes[:3], found.total, None)
    assert f"3 of {found.total} edits" in drawn(HeatMap(part))
    assert drawn(HeatMap(DepthMap("x", 6, 3.2, 100, (), 22, None)))
    assert len(make_panels(part)) == 1


def test_svg_and_page() -> None:
    """Both have every edit, with its interval; names are text, not markup; the page loads nothing."""
    found = make_map(name="<b>@@title@@\x1b[31m")
    count = len(found.changes)
    root = ET.fromstring(map_svg_text(found))
    cells = [each for each in root.iter() if each.get("class") == "cell"]
    assert len(cells) == count
    assert {cell.get("data-edit") for cell in cells} == {str(number) for number in range(count)}
    assert "repeat 0:1: +0.100 [+0.090, +0.110]" in ["".join(each.itertext()) for each in cells]
    page = map_page_text(found, [Proposal(found.changes[0], "spec: <x>\n")], make_survey())
    assert "<b>" not in page
    assert "spec: &lt;x&gt;" in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")
    data = page.partition('id="data">')[2].partition("</script>")[0]
    assert len(json.loads(data)) == count


def test_json_is_json() -> None:
    """Infinite changes are null, so that every reader of JSON takes them."""
    found = make_map()
    text = json.dumps([map_json(found), survey_json(make_survey())], allow_nan=False)
    changes = json.loads(text)[0]["changes"]
    assert [each["change"] for each in changes if (each["way"], each["start"], each["stop"]) == ("drop", 0, 1)] == [
        None
    ]
    confirmed = Proposal(found.changes[0], "x", Interval(-0.2, -0.3, -0.1))
    assert proposal_json(confirmed)["confirmed"] == {"change": -0.2, "interval": [-0.3, -0.1]}


@pytest.mark.parametrize(
    ("confirmed", "verdict"),
    [
        ((-0.2, -0.3, -0.1), "better"),
        ((0.2, 0.1, 0.3), "worse"),
        ((0.0, -0.1, 0.1), "no clear change"),
        (None, "worse"),
    ],
)
def test_verdicts(confirmed: tuple[float, float, float] | None, verdict: str) -> None:
    """The passages that confirm decide; without them, the interval as one of all edits does."""
    proposal = Proposal(make_change(Edit(Way.DROP, 0, 1), 0.2), "x", Interval(*confirmed) if confirmed else None)
    assert verdict_text(proposal) == verdict


def test_chance_in_words() -> None:
    """What chance explains and what not is said with the number of tries and passages."""
    assert chance_text(CHANCE).startswith("best of 22 tries on 16 passages")
    assert "chance explains that (p = 0.31)" in chance_text(CHANCE)
    assert "more than chance explains" in chance_text(Chance(22, 16, 2.5, 4.0, 6.0, 0.001))
    assert "no edit looks better" in chance_text(Chance(22, 16, 2.5, 4.0, -1.0, 1.0))


def test_tables() -> None:
    """What is unknown is a question mark; donors of different widths say so."""
    assert "?" in drawn(draw_survey(make_survey()))
    assert "+0.100" in drawn(draw_proposals([Proposal(make_map().changes[0], "x")]), 120)
    matrix = ((0.9, 0.2, 0.1), (0.2, 0.9, 0.1), (0.1, 0.2, 0.9))
    wide = Likeness("a", "b", 10, None, matrix, matrix, 0.3)
    assert "widths differ" in drawn(draw_likeness(wide))
    rows = drawn(draw_likeness(Likeness("a", "b", 10, ((0.0, 0.4, 0.5),) * 3, matrix, matrix, 0.3))).splitlines()
    assert rows[1].split()[:3] == ["0", "0", "0.000"]
