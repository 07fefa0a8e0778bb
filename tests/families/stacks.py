"""The stacks that every family is tested with, over donors `a` and `b`: spec items and their layers.

`STACKS` and `BLEND` are for donors of six layers, `DEEP_STACKS` for donors of 12.
"""

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
DEEP_STACKS: dict[str, tuple[list[Any], list[Pick]]] = {
    "self": (["a[0:11]", "a[9:12]"], layers("a", 0, 11) + layers("a", 9, 12)),
    "cross": (["a[0:4]", "b[3:12]"], layers("a", 0, 4) + layers("b", 3, 12)),
    "prune": (["a[0:3]", "a[10:12]"], layers("a", 0, 3) + layers("a", 10, 12)),
    "order": (
        ["a[0:3]", "a[9:12]", "a[3:6]", "b[10:12]"],
        layers("a", 0, 3) + layers("a", 9, 12) + layers("a", 3, 6) + layers("b", 10, 12),
    ),
}
