"""The preview on terminals of any width, with and without colours."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from stacker.compose import load_text
from stacker.view.stack.preview import draw_preview
from tests.donors import write_llama
from tests.view.scenes import BLENDED, GOLDEN, GOLIATH, KINDS, REPEATED, SPECS, WIDTHS, picture, printed, scene_of

_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_previews_equal_the_golden_pictures(name: str, width: int, kind: str) -> None:
    """The golden pictures are rewritten by `python -m tests.view.scenes`."""
    golden = (GOLDEN / f"{name}-{width}-{kind}.txt").read_text(encoding="utf-8")
    assert printed(picture(scene_of(SPECS[name])), width, kind) == golden


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("kind", KINDS)
@given(width=st.integers(60, 240))
@settings(max_examples=12)
def test_no_line_is_wider_than_the_terminal(name: str, kind: str, width: int) -> None:
    """From 60 to 240 columns everything fits."""
    for line in printed(draw_preview(scene_of(SPECS[name])), width, kind).splitlines():
        assert cell_len(_ESCAPE.sub("", line)) <= width


def test_without_colours_there_are_no_escapes() -> None:
    """Donors and blends are shown by letters instead."""
    text = printed(draw_preview(scene_of(BLENDED)), 80)
    assert "\x1b" not in text
    assert {"A", "B", "◆"} <= set(text)


def test_a_terminal_of_seven_bits_gets_its_map() -> None:
    """On an ASCII terminal the map has only ASCII characters."""
    text = printed(draw_preview(scene_of(BLENDED)), 80, encoding="ascii")
    assert "* blend" in text
    map_lines = [line for line in text.splitlines() if re.match(r" *\d*\|", line)]
    assert len(map_lines) > 8
    assert not any("?" in line for line in map_lines)


def test_goliath_has_all_its_figures() -> None:
    """Parameters, size, cache, slices, jumps and unused layers."""
    text = printed(draw_preview(scene_of(GOLIATH)), 100)
    for part in ("137 layers", "117.75 B", "235.5 GB", "2.3 GB for 4k", "euryale[8:24]", "-8", "xwin to euryale"):
        assert part in text
    assert "layers in no slice: xwin 16, 32, 48, 64; euryale 0–7, 24, 40, 56, 72–79" in text


def test_factors_and_copies_are_shown() -> None:
    """Repeated segments show their factors and the number of the copy."""
    text = printed(draw_preview(scene_of(REPEATED)), 120)
    assert "scaled attn.o 0.5, mlp.down [0, 1]; copy 2" in text


def test_a_stack_with_errors_is_still_drawn(tmp_path: Path) -> None:
    """A stack of layers of different widths is drawn without figures."""
    write_llama(tmp_path / "a")
    write_llama(tmp_path / "b", hidden=32)
    text = "stacker: 1\ndonors: {a: ./a, b: ./b}\nstack:\n- a[0:3]\n- b[1:4]\n"
    drawn = printed(draw_preview(load_text(text.encode(), tmp_path / "spec.yml").scene()), 80)
    assert "cannot be built" in drawn
    assert "b[1:4]" in drawn


def test_a_stack_without_layers_has_a_head(tmp_path: Path) -> None:
    """If no slice can be resolved, only the summary is drawn."""
    write_llama(tmp_path / "a")
    scene = load_text(b"stacker: 1\ndonors: {a: ./a}\nstack:\n- a[7:9]\n", tmp_path / "spec.yml").scene()
    assert "0 layers" in printed(draw_preview(scene), 80)
