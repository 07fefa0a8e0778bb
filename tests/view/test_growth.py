"""All views of a stack take time proportional to its layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from stacker.view.files.card import card_text
from stacker.view.files.file_views import FILE_VIEWS
from stacker.view.scene.scene import Scene
from stacker.view.stack.preview import draw_preview, preview_json
from tests.growth import measure_growth
from tests.view.scenes import printed, scene_of

VIEWS: dict[str, Callable[[Scene], Any]] = {
    **FILE_VIEWS,
    "preview": lambda scene: printed(draw_preview(scene), 100),
    "json": preview_json,
    "card": lambda scene: card_text(scene, ""),
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS.keys())
def test_a_view_grows_linearly(view: Callable[[Scene], Any]) -> None:
    """A stack in which every layer is a segment of its own takes four times as long with four times the layers."""

    def prepare(layers: int) -> Callable[[], Any]:
        donor = "{source: some/a, like: mistral-7b}"
        scene = scene_of(f"stacker: 1\nname: x\ndonors: {{a: {donor}}}\nstack:\n" + "  - a[3]\n" * layers)
        return lambda: view(scene)

    assert measure_growth(prepare) < 1.5
