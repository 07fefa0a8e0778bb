"""Colours that are legible on any background."""

from __future__ import annotations

import pytest

from stacker.view.scene.palette import HUES, MUTED, assign_styles, mix_colours


def luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb` (WCAG 2.2)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("colour", [*HUES, MUTED])
def test_colours_stand_out_from_light_and_dark(colour: str) -> None:
    """A contrast of at least 3 against white and black, as WCAG 2.2 requires of graphics."""
    assert 1.05 / (luminance(colour) + 0.05) >= 3
    assert (luminance(colour) + 0.05) / 0.05 >= 3


def test_donors_have_their_own_colour_and_letter() -> None:
    """Eight donors differ in colour, 26 in letter."""
    styles = assign_styles([str(number) for number in range(26)])
    assert len({style.letter for style in styles.values()}) == 26
    assert len({style.colour for style in list(styles.values())[:8]}) == 8


def test_a_mixture_lies_between() -> None:
    """The mean of black and white is grey."""
    assert mix_colours(["#000000", "#ffffff"]) == "#808080"
