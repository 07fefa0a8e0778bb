"""Makes the files of a checkpoint that a build writes beside the shards, except those copied from donors."""

from __future__ import annotations

from typing import Any

from stacker.core.plan.plan import Plan
from stacker.core.plan.plan_json import LOCK, SPEC, make_plan_index
from stacker.formats.index import INDEX_FILE
from stacker.formats.json_object import format_json
from stacker.view.files.card import DRAWING, LARGEST_DRAWING, card_text
from stacker.view.files.svg import svg_text
from stacker.view.scene.scene import Scene


def make_documents(scene: Scene, plan: Plan, spec: bytes, lock: dict[str, Any]) -> dict[str, bytes]:
    """The contents of config, index, model card with its drawing, spec and lock file, by file name.

    `spec` is the text of the spec, and `lock` the content of the lock file.
    """
    index = make_plan_index(plan)
    drawing = svg_text(scene).encode()
    pictures = {DRAWING: drawing} if len(drawing) <= LARGEST_DRAWING else {}
    return {
        "config.json": format_json(plan.config),
        **({INDEX_FILE: format_json(index)} if index else {}),
        "README.md": card_text(scene, spec.decode(), next(iter(pictures), None)).encode(),
        **pictures,
        SPEC: spec,
        LOCK: format_json(lock),
    }
