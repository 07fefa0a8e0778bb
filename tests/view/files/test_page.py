"""The interactive page: one self-contained file, safe with hostile names, tested in a real browser."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stacker.compose import load
from stacker.view.files.page import comparison_html_text, html_frame_text, html_text
from tests.browser import CHROMIUM, Browser, browser
from tests.donors import write_llama
from tests.view.scenes import BLENDED, GOLIATH, scene_of

MIXTURE = {
    "model_type": "qwen3_moe", "num_hidden_layers": 2, "hidden_size": 8, "num_attention_heads": 2, "head_dim": 4,
    "num_key_value_heads": 1, "intermediate_size": 16, "moe_intermediate_size": 4, "num_experts": 4,
    "num_experts_per_tok": 2, "vocab_size": 16, "dtype": "bfloat16",
}  # fmt: skip
HOSTILE = "</script><script>document.title = 'broken'</script>"


def data_of(page: str) -> dict[str, Any]:
    """The data of the page's script."""
    found = re.search(r'<script type="application/json" class="data">(.*?)</script>', page, re.DOTALL)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_every_tensor_has_its_origin() -> None:
    """Each layer, the embedding and the head list their tensors with sources."""
    data = data_of(html_text(scene_of(GOLIATH)))
    assert len(data) == 137 + 2
    assert data["16"]["from"] == "euryale[8]"
    assert data["16"]["jump"].startswith("-8: xwin to euryale; moderate: layers 10 to 14 twice made the perplexity")
    names = [tensor[0] for tensor in data["16"]["tensors"]]
    assert "mlp.down_proj.weight" in names
    assert data["136"]["tensors"][0][-1].startswith("xwin:model.layers.79.")
    assert data["head"]["tensors"][-1][4] == [32000, 8192]


def test_blends_say_how_they_are_made() -> None:
    """The op, with the parameter's value for that tensor in that layer."""
    data = data_of(html_text(scene_of(BLENDED)))
    made = {tensor[0]: tensor[-1] for tensor in data["6"]["tensors"]}
    assert made["mlp.up_proj.weight"].startswith("slerp(a:model.layers.6.mlp.up_proj.weight, b:")
    assert made["mlp.up_proj.weight"].endswith("; t 1)")
    assert made["self_attn.q_proj.weight"].endswith("; t 0)")


def test_experts_are_one_row(tmp_path: Path) -> None:
    """Tensors that differ only in the expert's number are one row with a count."""
    (tmp_path / "config.json").write_text(json.dumps(MIXTURE))
    spec = f"stacker: 1\ndonors:\n  a: {{source: some/a, like: '{tmp_path}/config.json'}}\nstack: [a]\n"
    rows = data_of(html_text(scene_of(spec)))["0"]["tensors"]
    (row,) = [row for row in rows if row[2] == "mlp.down.expert"]
    assert (row[0], row[1]) == ("mlp.experts.*.down_proj.weight", 4)


def test_the_page_needs_nothing_else() -> None:
    """The page has no links or images, and its content security policy forbids network access."""
    page = html_text(scene_of(GOLIATH))
    assert set(re.findall(r"[a-z]+://[^\s\"'<>]+", page)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<(link|img|iframe|script src)", page)
    assert "default-src 'none'" in page


def test_names_cannot_break_out(tmp_path: Path) -> None:
    """A stack's name that looks like HTML is escaped."""
    write_llama(tmp_path / "a")
    spec = {"stacker": 1, "name": HOSTILE, "donors": {"a": "./a"}, "stack": ["a"]}
    (tmp_path / "spec.yml").write_text(json.dumps(spec))
    page = html_text(load(tmp_path / "spec.yml").scene())
    assert HOSTILE not in page
    assert f"<title>{html.escape(HOSTILE)}</title>" in page


def test_marks_of_the_template_can_stand_in_names(tmp_path: Path) -> None:
    """A name that looks like a placeholder of the template is not replaced."""
    write_llama(tmp_path / "a")
    spec = {"stacker": 1, "name": "@@data@@", "donors": {"a": "./a"}, "stack": ["a"]}
    (tmp_path / "spec.yml").write_text(json.dumps(spec))
    assert "<title>@@data@@</title>" in html_text(load(tmp_path / "spec.yml").scene())


def test_a_notebook_gets_the_page_in_a_frame() -> None:
    """The sandboxed frame holds the whole page as its source."""
    frame = html_frame_text(scene_of(BLENDED))
    found = re.fullmatch(r'<iframe sandbox="allow-scripts" style="[^"]*" srcdoc="([^"]*)"></iframe>', frame)
    assert found
    assert html.unescape(found[1]) == html_text(scene_of(BLENDED))


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser showing Goliath."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here (Debian: apt install chromium)")
    folder = tmp_path_factory.mktemp("browser")
    (folder / "goliath.html").write_text(html_text(scene_of(GOLIATH)), encoding="utf-8")
    with browser(folder / "profile") as found:
        found.open(folder / "goliath.html")
        yield found


def shown(tab: Browser) -> str:
    """The heading of the layer that the page shows."""
    return str(tab.value("document.querySelector('.what').textContent"))


def test_pointing_at_a_layer_shows_it(tab: Browser) -> None:
    """The layer under the pointer is shown with source, jump, and a row for each tensor."""
    tab.point_at(".hit[data-layer='16']")
    assert shown(tab) == "layer 16 ← euryale[8]"
    assert tab.value("document.querySelector('.jump-note').textContent").startswith("jump -8: xwin to euryale")
    assert tab.value("document.querySelectorAll('.tensors tbody tr').length") == 9
    assert "euryale:model.layers.8." in tab.value("document.querySelector('.tensors tbody').textContent")
    tab.point_at(".hit[data-layer='136']")
    assert shown(tab) == "layer 136 ← xwin[79]"


def test_a_click_holds_a_layer(tab: Browser) -> None:
    """After a click the pointer may leave; the arrow keys go on from there; a second click lets go."""
    tab.point_at(".hit[data-layer='40']", click=True)
    tab.point_at(".hit[data-layer='90']")
    assert shown(tab) == "layer 40 ← xwin[25]"
    tab.press("ArrowRight")
    assert shown(tab) == "layer 41 ← xwin[26]"
    tab.point_at(".hit[data-layer='41']", click=True)
    tab.point_at(".hit[data-layer='90']")
    assert shown(tab).startswith("layer 90 ")


def test_the_ends_have_buttons(tab: Browser) -> None:
    """Embedding and head are shown too."""
    tab.point_at("[data-end=head]", click=True)
    assert shown(tab) == "head ← xwin"
    assert "lm_head.weight" in tab.value("document.querySelector('.tensors tbody').textContent")


def test_pointing_and_selecting_look_different(tab: Browser) -> None:
    """A selected column has an outline, and a line of text says how to let it go; one pointed at has neither."""
    column = ".hit[data-layer='60']"
    outline = f'getComputedStyle(document.querySelector("{column}")).stroke'
    tab.point_at(column, click=True)
    assert tab.value(outline) != "none"
    assert tab.value("document.querySelector('.held-note').textContent").startswith("Selected")
    tab.point_at(column, click=True)
    tab.point_at(".hit[data-layer='61']")
    tab.point_at(column)
    assert tab.value(outline) == "none"
    assert tab.value("document.querySelector('.held-note').textContent") == ""


def test_the_page_is_quiet(tab: Browser) -> None:
    """No script error, no violation of the policy, no network request."""
    tab.value("1")
    assert tab.complaints == []


def test_stacks_show_themselves_in_notebooks(tmp_path: Path) -> None:
    """A Stack of the Python API has an HTML representation."""
    write_llama(tmp_path / "a")
    (tmp_path / "spec.yml").write_text("stacker: 1\nname: small\ndonors: {a: ./a}\nstack: ['a[0:4]', 'a[2:6]']\n")
    assert "&lt;title&gt;small&lt;/title&gt;" in load(tmp_path / "spec.yml")._repr_html_()


OTHER = GOLIATH.replace("euryale[8:24]", "euryale[8:22]").replace("name: goliath-120b", "name: shorter")


def test_two_stacks_in_one_page() -> None:
    """Both stacks with their tensors; the figures and the layers that differ; equal figures are said to be so."""
    page = comparison_html_text(scene_of(GOLIATH), scene_of(OTHER))
    assert page.count('<section class="stack">') == 2
    assert "<title>goliath-120b and shorter</title>" in page
    assert "<b>llama, 135</b>" in page
    assert "the same" in page
    shaded = [part.count('class="hit differs"') for part in page.split('<section class="stack">')[1:]]
    assert shaded == [2, 0]
    assert "euryale[22] to euryale[23]" in page


def test_a_stack_compared_with_itself() -> None:
    """Nothing is shaded or bold."""
    page = comparison_html_text(scene_of(GOLIATH), scene_of(GOLIATH))
    assert "The layers are the same." in page
    assert "hit differs" not in page.split("</style>", 1)[1]
    assert "<b>" not in page


def test_names_cannot_break_out_of_a_comparison() -> None:
    """Names of both stacks are escaped."""
    scenes = [replace(scene_of(GOLIATH), name=f"{HOSTILE}{number}") for number in range(2)]
    page = comparison_html_text(*scenes)
    assert HOSTILE not in page
    assert html.escape(HOSTILE) in page


def test_each_stack_of_a_comparison_answers_the_pointer(tab: Browser, tmp_path: Path) -> None:
    """Pointing at a layer of the second stack leaves the first alone; at a phone's width nothing sticks out."""
    (tmp_path / "both.html").write_text(comparison_html_text(scene_of(GOLIATH), scene_of(OTHER)), encoding="utf-8")
    tab.open(tmp_path / "both.html")
    second = "document.querySelectorAll('.stack')[1]"
    tab.value(f"{second}.scrollIntoView()")
    tab.point_at(".stack + .stack .hit[data-layer='30']")
    assert tab.value(f"{second}.querySelector('.what').textContent") == "layer 30 ← xwin[17]"
    assert tab.value("document.querySelector('.stack .what').textContent") == "layer 0 ← xwin[0]"
    tab.call("Emulation.setDeviceMetricsOverride", width=390, height=800, deviceScaleFactor=2, mobile=True)
    assert tab.value("document.documentElement.scrollWidth") <= 390
    tab.call("Emulation.clearDeviceMetricsOverride")
    assert tab.complaints == []
