"""Makes specs in published stacking patterns from donors' names, their number of layers and a few other numbers.

The donors themselves are not read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from stacker.spec.language.slice_grammar import count_written_layers
from stacker.spec.language.stack_spec import DonorSpec, Item, Parameter, RepeatSpec, Rule, SliceSpec, StackSpec
from stacker.spec.native.writer import to_native

Numbers = Mapping[str, int]
MakeItems = Callable[[Sequence[str], int, Numbers], tuple[Item, ...]]
"""Makes the items of a stack from the donors' names, the number of layers of each donor, and the pattern's numbers."""
CheckNumbers = Callable[[int, Numbers], Iterator[str]]
"""Yields messages about numbers that do not fit together.

The arguments are the number of layers of each donor and the pattern's numbers, none of which is below its `least`.
"""
SILENT = Parameter((Rule("attn.o", 0.0), Rule("mlp.down", 0.0)))
"""Factors of 0 for the two tensors of a layer that write to the residual stream, so that the layer changes nothing."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number that a generator takes; `meaning` describes it to users, and `least` is the smallest value allowed.

    `default` computes the number from the number of layers and the generator's earlier numbers, and `shown` is that
    formula as text.
    """

    name: str
    meaning: str
    shown: str
    default: Callable[[int, Numbers], int]
    least: int = 0


@dataclass(frozen=True, slots=True)
class Generator:
    """A stacking pattern with the numbers that it takes; `source` says where the pattern was published.

    `make` makes the items of a stack, `check` checks the numbers, and `advice` is a hint for users. `donors` is the
    smallest and the largest number of donors (None: no limit).
    """

    name: str
    summary: str
    source: str
    numbers: tuple[Number, ...]
    make: MakeItems
    check: CheckNumbers
    donors: tuple[int, int | None] = (1, 1)
    advice: str = ""


def fill_numbers(generator: Generator, depth: int, given: Numbers) -> dict[str, int]:
    """All numbers of a generator by name: the numbers in `given`, and the default for each other number.

    `depth` is the number of layers of each donor.
    """
    numbers: dict[str, int] = {}
    for number in generator.numbers:
        numbers[number.name] = given[number.name] if number.name in given else number.default(depth, numbers)
    return numbers


def check_numbers(generator: Generator, depth: int, numbers: Numbers) -> Iterator[str]:
    """Yield messages about numbers that are too small or do not fit donors of `depth` layers."""
    small = [n for n in generator.numbers if numbers[n.name] < n.least]
    for number in small:
        yield f"{number.name} must be at least {number.least}, not {numbers[number.name]}"
    if not small:
        yield from generator.check(depth, numbers)


def _make_passes(names: Sequence[str], depth: int, numbers: Numbers) -> tuple[Item, ...]:
    width, stride = numbers["width"], numbers["stride"]
    starts = [*range(0, max(1, depth - width), stride)]
    if starts[-1] + width < depth:
        starts.append(starts[-1] + stride)
    stops = [*(start + width for start in starts[:-1]), depth]
    return tuple(
        SliceSpec(names[at % len(names)], start, stop)
        for at, (start, stop) in enumerate(zip(starts, stops, strict=True))
    )


def _check_passes(depth: int, numbers: Numbers) -> Iterator[str]:
    width, stride = numbers["width"], numbers["stride"]
    if width > depth:
        yield f"width is {width}, but there are only {depth} layers"
    if stride > width:
        yield f"stride {stride} is more than width {width}: layers between two passes would be in none"


def _make_solar(names: Sequence[str], depth: int, numbers: Numbers) -> tuple[Item, ...]:
    del depth
    n, m = numbers["n"], numbers["m"]
    return SliceSpec(names[0], 0, n - m), SliceSpec(names[0], m, n)


def _check_solar(depth: int, numbers: Numbers) -> Iterator[str]:
    n, m = numbers["n"], numbers["m"]
    if n > depth:
        yield f"n is {n}, but there are only {depth} layers"
    if 2 * m > n:
        yield f"m is {m}, more than half of n ({n}): layers of the middle would be in neither part"


def _make_rys(names: Sequence[str], depth: int, numbers: Numbers) -> tuple[Item, ...]:
    start, stop = numbers["start"], numbers["stop"]
    repeat = RepeatSpec((SliceSpec(names[0], start, stop),), numbers["times"])
    return (*_make_run(names[0], 0, start), repeat, *_make_run(names[0], stop, depth))


def _make_llama_pro(names: Sequence[str], depth: int, numbers: Numbers) -> tuple[Item, ...]:
    every, name = numbers["every"], names[0]
    items: list[Item] = []
    for stop in range(every, depth + 1, every):
        items += [SliceSpec(name, stop - every, stop), SliceSpec(name, stop - 1, stop, SILENT)]
    return (*items, *_make_run(name, depth - depth % every, depth))


def _check_llama_pro(depth: int, numbers: Numbers) -> Iterator[str]:
    if numbers["every"] > depth:
        yield f"every is {numbers['every']}, but there are only {depth} layers"


def _make_prune(names: Sequence[str], depth: int, numbers: Numbers) -> tuple[Item, ...]:
    start, drop = numbers["start"], numbers["drop"]
    return (*_make_run(names[0], 0, start), *_make_run(names[0], start + drop, depth))


def _check_prune(depth: int, numbers: Numbers) -> Iterator[str]:
    start, drop = numbers["start"], numbers["drop"]
    if start + drop > depth:
        yield f"layers {start} to {start + drop - 1} cannot be left out of {depth}"
    elif drop == depth:
        yield "nothing would be left"


def _check_run(depth: int, numbers: Numbers) -> Iterator[str]:
    start, stop = numbers["start"], numbers["stop"]
    if stop > depth:
        yield f"stop is {stop}, but there are only {depth} layers"
    if stop <= start:
        yield f"stop ({stop}) must be more than start ({start}): the run is half-open"


def _make_run(name: str, start: int, stop: int) -> tuple[SliceSpec, ...]:
    """A tuple with the slice of layers [start, stop) of donor `name`; empty if `stop` is not above `start`."""
    return (SliceSpec(name, start, stop),) if stop > start else ()


WIDTH = Number("width", "layers of a pass", "depth / 4", lambda depth, _: max(1, depth // 4), 1)
STRIDE = Number(
    "stride", "how many layers further each pass begins", "width / 2", lambda _, n: max(1, n["width"] // 2), 1
)
START = Number("start", "the first layer of the run", "depth × 9/16", lambda depth, _: depth * 9 // 16)

_ALL = (
    Generator(
        "passes",
        "Overlapping passes over one donor, each some layers further: the 7×20 of many 120B stacks.",
        "model cards of Venus-120b-v1.2, MegaDolphin-120b, Meta-Llama-3-120B-Instruct, phi-4-25b",
        (WIDTH, STRIDE),
        _make_passes,
        _check_passes,
        advice="More overlap is more layers; most published stacks overlap by half.",
    ),
    Generator(
        "interleave",
        "Overlapping passes, the donors in turn: Goliath's way with two fine-tunes of one base.",
        "model cards of goliath-120b, miquliz-120b-v2.0",
        (
            Number("width", "layers of a slice", "depth / 5", lambda depth, _: max(1, depth // 5), 1),
            STRIDE,
        ),
        _make_passes,
        _check_passes,
        (2, None),
        "Take fine-tunes of one base. The first gives embedding and tokenizer, the donor of the last slice the head.",
    ),
    Generator(
        "solar",
        "Depth up-scaling: the first n - m layers, then all but the first m.",
        "Kim et al. 2023, SOLAR 10.7B (arXiv 2312.15166), section 2",
        (
            Number("n", "layers of the donor to use", "depth", lambda depth, _: depth, 2),
            Number("m", "layers to drop at the seam, on each side", "n / 4", lambda _, n: max(1, n["n"] // 4), 1),
        ),
        _make_solar,
        _check_solar,
        advice="The paper continues pretraining after stacking.",
    ),
    Generator(
        "rys",
        "A run of layers of the middle more than once: repeat yourself.",
        "blog and model card of RYS-XLarge",
        (
            START,
            Number(
                "stop",
                "the layer after the run's last layer",
                "start + depth × 3/40",
                lambda depth, n: n["start"] + max(1, depth * 3 // 40),
            ),
            Number("times", "how often the run is in the stack in all", "2", lambda _, __: 2, 2),
        ),
        _make_rys,
        _check_run,
        advice="Runs of the middle hurt least; the first and the last layers should run once.",
    ),
    Generator(
        "llama-pro",
        "Block expansion: after every few layers a copy of the last one that adds nothing yet, to be trained.",
        "Wu et al. 2024, LLaMA Pro (arXiv 2401.02415), section 3",
        (Number("every", "layers between two copies", "4", lambda depth, _: min(4, depth), 1),),
        _make_llama_pro,
        _check_llama_pro,
        advice="The result computes what the donor does until the copies are trained.",
    ),
    Generator(
        "prune",
        "A run of layers left out.",
        "Gromov et al. 2024, The Unreasonable Ineffectiveness of the Deeper Layers (arXiv 2403.17887)",
        (
            Number("drop", "how many layers to leave out", "depth / 8", lambda depth, _: max(1, depth // 8), 1),
            Number(
                "start", "the first layer left out", "depth - 1 - drop", lambda depth, n: max(0, depth - 1 - n["drop"])
            ),
        ),
        _make_prune,
        _check_prune,
        advice="The paper keeps the last layer, as here, and heals the rest with a little training.",
    ),
)
GENERATORS = {generator.name: generator for generator in _ALL}
"""All generators by name, in the order in which they are listed."""


def write_generated(
    generator: Generator, donors: Sequence[DonorSpec], depth: int, given: Mapping[str, int], file: str
) -> str:
    """A generated spec as native text, with comments that say where the pattern comes from and what to run next.

    `depth` is the number of layers of every donor, `given` has the pattern's numbers that the user chose, and `file` is
    the spec's path in the comments.
    """
    numbers = fill_numbers(generator, depth, given)
    items = generator.make([donor.name for donor in donors], depth, numbers)
    spec = StackSpec("-".join([*(donor.name for donor in donors), generator.name]), tuple(donors), items)
    settings = ", ".join(_format_number(number.name, number.shown, numbers, given) for number in generator.numbers)
    comments = (
        generator.summary,
        f"Source: {generator.source}",
        f"Made by: {generator.name} with {settings}; {count_layers(items)} layers of donors with {depth}.",
        generator.advice,
        f"Look at it: stacker preview {file}",
        f"Write it:   stacker build {file} OUT",
    )
    return "".join(f"# {line}\n" for line in comments) + to_native(spec)


def count_layers(items: Sequence[Item]) -> int:
    """The number of layers that generated items make. All their slices have both bounds."""
    return sum(_count_item_layers(item) for item in items)


def _count_item_layers(item: Item) -> int:
    match item:
        case SliceSpec():
            return count_written_layers(item) or 0
        case RepeatSpec(inner, times):
            return times * count_layers(inner)
        case _:
            return 0


def _format_number(name: str, formula: str, numbers: Mapping[str, int], given: Mapping[str, int]) -> str:
    reason = "" if name in given or formula == str(numbers[name]) else f" ({formula})"
    return f"{name}={numbers[name]}{reason}"
