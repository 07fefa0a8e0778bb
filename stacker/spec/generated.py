"""A generator's pattern as a commented native spec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stacker.spec.emit import to_native
from stacker.spec.generators import Generator, numbers_of
from stacker.spec.model import DonorSpec, Item, RepeatSpec, SliceSpec, StackSpec
from stacker.spec.slices import written_length


def write_generated(
    generator: Generator, donors: Sequence[DonorSpec], depth: int, given: Mapping[str, int], file: str
) -> str:
    """The spec that a generator makes of these donors, all `depth` layers deep; `file` stands in the advice."""
    numbers = numbers_of(generator, depth, given)
    items = generator.make([donor.name for donor in donors], depth, numbers)
    spec = StackSpec("-".join([*(donor.name for donor in donors), generator.name]), tuple(donors), items)
    said = ", ".join(_shown(number.name, number.shown, numbers, given) for number in generator.numbers)
    comments = (
        generator.summary,
        f"Source: {generator.source}",
        f"Made by: {generator.name} with {said}; {layers_in(items)} layers of donors with {depth}.",
        generator.advice,
        f"Look at it: stacker preview {file}",
        f"Write it:   stacker build {file} OUT",
    )
    return "".join(f"# {line}\n" for line in comments) + to_native(spec)


def layers_in(items: Sequence[Item]) -> int:
    """How many layers generated items make; all their slices have both bounds."""
    return sum(_length(item) for item in items)


def _length(item: Item) -> int:
    match item:
        case SliceSpec():
            return written_length(item) or 0
        case RepeatSpec(inner, times):
            return times * layers_in(inner)
        case _:
            return 0


def _shown(name: str, formula: str, numbers: Mapping[str, int], given: Mapping[str, int]) -> str:
    reason = "" if name in given or formula == str(numbers[name]) else f" ({formula})"
    return f"{name}={numbers[name]}{reason}"
