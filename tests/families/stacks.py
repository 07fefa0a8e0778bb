"""The stacks that every family is tested with, over donors `a` and `b` of six layers: spec items and their layers."""

from __future__ import annotations

from typing import Any

from tests.families.cases import Pick


def layers(donor: str, start: int, stop: int) -> list[Pick]:
    """Layers of a donor, half-open."""
    return [(donor, layer) for layer in range(start, stop)]


STACKS: dict[str, tuple[list[Any], list[Pick]]] = {
    "self": (["a[0:4]", "a[2:6]"], layers("a", 0, 4) + layers("a", 2, 6)),
    "cross": (["a[0:3]", "b[2:5]", "a[4:6]"], layers("a", 0, 3) + layers("b", 2, 5) + layers("a", 4, 6)),
    "prune": (["a[0:2]", "a[4:6]"], layers("a", 0, 2) + layers("a", 4, 6)),
    "ends": (["a[0:3]", "b[3:6]"], layers("a", 0, 3) + layers("b", 3, 6)),
}
BLEND: list[Any] = ["a[0:2]", {"blend": ["a[2:4]", "b[2:4]"], "op": "linear"}, "a[4:6]"]
BLENDED: tuple[list[Pick], dict[int, Pick]] = (layers("a", 0, 6), {2: ("b", 2), 3: ("b", 3)})
