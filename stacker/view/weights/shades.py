"""Divides the distances of one comparison into classes with a colour and a character each, and words distances."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite, isnan

from stacker.view.probes.heat import HEAT_CLASSES

_INKS = tuple((heat.colour, heat.character) for heat in HEAT_CLASSES[1:])
ODD_COLOUR, ODD_CHARACTER = HEAT_CLASSES[0].colour, "!"
"""How a distance is drawn that is infinite or not a number."""


@dataclass(frozen=True, slots=True)
class Shade:
    """Distances up to `limit`: their colour, and their character where there are no colours."""

    limit: float
    colour: str
    character: str

    @property
    def legend(self) -> str:
        return f"≤ {distance_text(self.limit)}"


def make_shades(distances: Iterable[float]) -> tuple[Shade, ...]:
    """Classes of equal ratio between the smallest and the largest of these distances, without zeros; at most eight."""
    found = sorted(distance for distance in distances if distance and isfinite(distance))
    if not found:
        return ()
    low, high = found[0], found[-1]
    count = len(_INKS) if high / low > 1.05 else 1
    limits = [low * (high / low) ** ((number + 1) / count) for number in range(count - 1)]
    return tuple(Shade(limit, *ink) for limit, ink in zip([*limits, high], _INKS[-count:], strict=True))


def find_shade(distance: float, shades: Iterable[Shade]) -> Shade | None:
    """The class of a distance; None for equal tensors."""
    if not distance:
        return None
    odd = Shade(distance, ODD_COLOUR, ODD_CHARACTER)
    return next((shade for shade in shades if distance <= shade.limit), odd)


def distance_text(distance: float) -> str:
    """A relative distance as a percentage with three digits, such as `0.0123 %`."""
    if isnan(distance):
        return "not finite"
    return f"{100 * distance:.3g} %" if isfinite(distance) else "from zero"
