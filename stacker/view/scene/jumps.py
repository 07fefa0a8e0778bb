"""Words for the jumps of a stack: how long and how severe they are, and what is different behind them."""

from __future__ import annotations

from typing import Any

from stacker.core.study.jump_severity import Severity
from stacker.view.scene.formatting import changes_text
from stacker.view.scene.scene import Scene

SEVERITY_SOURCE = (
    "severity: what a comparable jump did to the perplexity of SmolLM2-135M; up to 1.25 times is slight, 2 moderate, "
    "10 severe, more ruinous"
)
"""Where the severities come from."""


def severity_text(scene: Scene, index: int) -> str:
    """The severity of the jump before output layer `index` in a word; "" if there is no jump."""
    if index not in scene.jumps:
        return ""
    found = scene.severities[index]
    return found.severity if found else Severity.NONE


def explain_jump(scene: Scene, index: int) -> str:
    """The jump before output layer `index`, what is different behind it, and what it is comparable to.

    For example, `-8: xwin to euryale; moderate: layers 10 to 14 twice made the perplexity of SmolLM2-135M 1.4 times as
    high`. It is "" if there is no jump.
    """
    junction = scene.jumps.get(index)
    if junction is None:
        return ""
    changes = changes_text(scene.changes.get(index, ())) or "within one donor"
    turn = f"; the stream turns by {scene.turns[index]:.2f}" if index in scene.turns else ""
    return f"{junction.jump:+d}: {changes}; {_comparison_text(scene, index)}{turn}"


def _comparison_text(scene: Scene, index: int) -> str:
    found = scene.severities[index]
    if found is None:
        return "no harm: a layer beside it is multiplied by 0"
    times = f"{found.ratio:,.0f}" if found.ratio >= 10 else f"{found.ratio:.1f}"
    return f"{found.severity}: {found.stack} made the perplexity of SmolLM2-135M {times} times as high"


def severity_json(scene: Scene, index: int) -> dict[str, Any]:
    """The severity of a jump, and the stack of SmolLM2-135M that it is compared to with its ratio of perplexities."""
    found = scene.severities[index]
    if found is None:
        return {"level": Severity.NONE.value, "like": None, "perplexity_ratio": 1.0}
    return {"level": found.severity.value, "like": found.stack, "perplexity_ratio": round(found.ratio, 2)}
