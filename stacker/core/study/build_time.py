"""Predicts how long a build takes, from the work that its plan contains and from the speeds of a machine.

It measures nothing; `stacker.io.speeds` keeps the speeds, `stacker.calibration` measures them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from stacker.core.plan.costs import count_blend_passes
from stacker.core.plan.plan import Plan, Report, Step
from stacker.core.plan.task_making import simplify
from stacker.core.values.expression import Blend, Columns, Concat, Copy, Decoded, Expression, LowRank
from stacker.core.values.expression_parts import is_zero
from stacker.ops.table import OPS

SCALE, DECODE, LOW_RANK = "scale", "decode", "low rank"
"""Kinds of arithmetic that are not ops: factors, casts and joined rows; quantised weights; folded adapters."""
KINDS = frozenset({SCALE, DECODE, LOW_RANK, *OPS})
WITHOUT_ARITHMETIC = ("passthrough", "zero")
"""Ops that compute nothing of their own."""
START = 0.3
"""Seconds that a build takes before it begins to write: starting Python, reading the donors' headers, planning."""
COMPUTE_START = 0.6
"""Seconds that loading the compiled arithmetic takes."""
LONG_ENOUGH = 1.0
"""Builds that spend fewer seconds on writing and computing say too little about the machine to learn from."""
_LARGEST_STEP = 8.0
"""The most by which one build may correct a speed, as a factor."""
LIMITS = (1e4, 1e13)
"""The least and the largest speed that is believed, in bytes or elements a second."""


class Origin(StrEnum):
    """Where speeds come from: constants, `stacker doctor --measure`, or earlier builds."""

    DEFAULTS = "defaults"
    MEASURED = "measured"
    BUILDS = "builds"


@dataclass(frozen=True, slots=True)
class Speeds:
    """How fast a machine builds with all of its cores.

    `write` is in bytes of output per second. `arithmetic` is in elements per second, by kind: for an op, the elements
    of all of its sources, each counted once for every pass over it.
    """

    write: float
    arithmetic: Mapping[str, float]
    origin: Origin = Origin.DEFAULTS

    def of(self, kind: str) -> float:
        """The speed of an op or another kind of arithmetic; where it is not known, the default or that of SCALE."""
        defaults = DEFAULT_SPEEDS.arithmetic
        return self.arithmetic.get(kind) or defaults.get(kind) or defaults[SCALE]


_DEFAULTS = (
    (4.0e10, (LOW_RANK,)),
    (4.0e9, ("slerp", "nuslerp", "multislerp", "karcher", "model_stock")),
    (3.5e9, ("ties", "breadcrumbs", "sce", "ramplus_tl")),
    (3.1e9, ("linear", "mean", "wise_ft", "task_arithmetic", "breadcrumbs_ties", "ram")),
    (2.6e9, ("dare_linear", "dare_ties", "nearswap")),
    (2.2e9, (SCALE,)),
    (1.0e9, (DECODE,)),
    (8.3e8, ("della_linear", "della")),
    (4.9e8, ("arcee_fusion",)),
)
DEFAULT_SPEEDS = Speeds(2.1e9, MappingProxyType({kind: speed for speed, kinds in _DEFAULTS for kind in kinds}))
"""Speeds of a machine with two cores and an SSD with ext4, from the processor time of `measure_speeds`."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a build has to do: bytes `moved` unchanged, bytes `computed`, and elements of arithmetic by kind.

    The elements are counted as in Speeds.
    """

    moved: int
    computed: int
    elements: Mapping[str, int]


def count_work(plan: Plan) -> Work:
    """Count the work of a plan; tensors of zeros are no work, because they are left as holes."""
    elements: Counter[str] = Counter()
    for step in plan.steps:
        for kind, count in _count_step(step):
            elements[kind] += count
    zeros = sum(step.tensor.nbytes for step in plan.steps if is_zero(step.expression))
    return Work(plan.costs.moved, plan.costs.written - plan.costs.moved - zeros, dict(elements))


def _count_step(step: Step) -> Iterator[tuple[str, int]]:
    """Yield pairs of a kind of arithmetic and a number of elements."""
    tensor = step.tensor
    if isinstance(step.expression, Concat):
        for _, width, part in step.expression.parts():
            yield from _count(simplify(part, tensor.dtype), tensor.elements * width // sum(step.expression.widths), 1)
    elif not isinstance(step.expression, Copy):
        simple = simplify(step.expression, tensor.dtype)
        yield from [(SCALE, tensor.elements)] if isinstance(simple, Copy) else _count(simple, tensor.elements, 1)


def _count(expression: Expression, elements: int, times: int) -> Iterator[tuple[str, int]]:
    """Yield the work of computing `elements` elements of an expression `times` times.

    Blends inside a blend are computed again in every pass of the outer one.
    """
    if is_zero(expression) or isinstance(expression, Copy | Columns):
        return
    inner = expression.children()
    match expression:
        case Blend():
            times += count_blend_passes(expression)
            yield expression.op, times * elements * len(inner)
        case Decoded():
            yield DECODE, times * elements
        case LowRank():
            inner = (expression.of,)
            yield LOW_RANK, times * elements * expression.shape[2]
        case _:
            yield SCALE, times * elements
    for child in inner:
        yield from _count(child, elements, times)


def predict_seconds(work: Work, speeds: Speeds) -> float:
    """The seconds that a build of this work takes, if its donors are on this machine and in the page cache.

    While some threads compute, others write, so that computed tensors take the longer of both times.
    """
    begin = START + (COMPUTE_START if work.elements else 0)
    return begin + work.moved / speeds.write + max(work.computed / speeds.write, _arithmetic_seconds(work, speeds))


def _arithmetic_seconds(work: Work, speeds: Speeds) -> float:
    return sum(count / speeds.of(kind) for kind, count in work.elements.items())


def learn(speeds: Speeds, work: Work, report: Report) -> Speeds:
    """The speeds after a build of `work`, which the machine took `report.seconds` for, are moved towards what it shows.

    What takes the most time is corrected: the speed of writing, or those of all arithmetic in the build. They stay as
    they are if the build was short, continued another, or cloned blocks.
    """
    if report.seconds < LONG_ENOUGH or report.kept or report.cloned:
        return speeds
    start = COMPUTE_START if work.elements else 0
    arithmetic, moving = _arithmetic_seconds(work, speeds), work.moved / speeds.write
    found = max(report.seconds - start, LONG_ENOUGH / 2)
    if arithmetic <= max(moving, work.computed / speeds.write):
        expected = predict_seconds(work, speeds) - START - start
        return _correct(speeds, {}, expected / found)
    return _correct(speeds, work.elements, arithmetic / max(found - moving, arithmetic / _LARGEST_STEP))


def _correct(speeds: Speeds, kinds: Iterable[str], factor: float) -> Speeds:
    """Multiply the speeds of these kinds of arithmetic, or without any kind that of writing, by a limited factor.

    Speeds that are not just defaults move half of the way, on a logarithmic scale.
    """
    known = speeds.origin is not Origin.DEFAULTS
    step = min(max(factor, 1 / _LARGEST_STEP), _LARGEST_STEP) ** (0.5 if known else 1.0)
    origin = Origin.MEASURED if speeds.origin is Origin.MEASURED else Origin.BUILDS
    changed = {kind: bound_speed(speeds.of(kind) * step) for kind in kinds}
    write = speeds.write if changed else bound_speed(speeds.write * step)
    return Speeds(write, {**speeds.arithmetic, **changed}, origin)


def bound_speed(speed: float) -> float:
    """The nearest speed that is within the LIMITS."""
    return min(max(speed, LIMITS[0]), LIMITS[1])
