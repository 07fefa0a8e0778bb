"""Makes the spaces of a search from a stack: its parameters with a range, and the order of its donors' layers."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path

from stacker.arch.hops import find_hop_refusals
from stacker.compose import Stack, load, load_text
from stacker.core.stack.hops import list_divided_roles
from stacker.errors import SpecError, StackerError, raise_problems, select_errors
from stacker.io.donors.reader import ReadDonor, read_donor, remember_donors
from stacker.io.files.paths import exists
from stacker.search.spaces.arrangement_space import ArrangementSpace, read_items
from stacker.search.spaces.arrangements import Arrangement, make_run
from stacker.search.spaces.variables import Assignment, Value, Variable, VariableSpace
from stacker.searching.options import Bounds
from stacker.spec.language.stack_spec import BlendSpec, Dialect, DonorSpec, SliceSpec, StackSpec
from stacker.spec.native.writer import to_native
from stacker.spec.parameters.space import Kind, SpecParameter
from stacker.spec.parameters.spreading import find_group

DEEPEST = 1.5
"""Without a limit, an order has at most DEEPEST times the layers of the start."""
_HINT = "write `parameters: {t: {value: 0.5, range: [0, 1]}}` and `${t}` in the spec, or use --arrange"


def load_space(spec: str | Path, *, arrange: bool = False) -> VariableSpace | ArrangementSpace:
    """The space of a spec file: of its parameters with a range, or with `arrange` of the order of its layers.

    What it decodes is a Stack; see `stacker.compose`.
    """
    read = remember_donors(read_donor)
    stack, path = load(spec, read), Path(spec).absolute()
    raise_problems(stack.problems)
    if arrange:
        return make_arrangement_space(stack, path, Bounds(), read)
    return make_variable_space(stack, Bounds(), read)


def make_variable_space(stack: Stack, bounds: Bounds, read: ReadDonor) -> VariableSpace:
    """The space of the parameters of a spec that have a range or choices; SpecError if there are none."""
    moving = tuple(each for each in stack.spec.parameters if each.moves)
    if not moving:
        raise SpecError.of(f"{stack.spec.source}: no parameter has a range", _HINT)

    def make(values: Assignment) -> Stack:
        return check_bounds(stack.bind(values, read), bounds)

    return VariableSpace(tuple(map(make_variable, moving)), make)


def make_variable(parameter: SpecParameter) -> Variable:
    """The variable of a parameter: whole numbers and steps become choices, other ranges stay continuous."""
    name, group = parameter.name, find_group(parameter.name)
    if parameter.choices:
        return Variable(name, parameter.value, choices=_sort(parameter.choices), group=group)
    low, high = parameter.range or (0.0, 1.0)
    step = parameter.step or (1 if parameter.kind is Kind.WHOLE else None)
    if step is None:
        return Variable(name, float(parameter.value), float(low), float(high), group=group)
    values = [low + step * at for at in range(int((high - low) / step + 1e-9) + 1)]
    choices = tuple(round(each, 9) for each in values)
    start = min(choices, key=lambda each: abs(each - float(parameter.value)))
    return Variable(name, start, choices=choices, group=group)


def _sort(choices: tuple[Value, ...]) -> tuple[Value, ...]:
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in choices)
    return tuple(sorted(choices)) if numbers else choices


def check_bounds(stack: Stack, bounds: Bounds) -> Stack:
    """The stack itself; SpecError if it exceeds the bounds."""
    layers = len(stack.graph.layers)
    if bounds.layers is not None and layers > bounds.layers:
        raise SpecError.of(f"there are {layers} layers, more than {bounds.layers}")
    if bounds.parameters is not None:
        total = sum(step.tensor.elements for step in stack.plan().steps)
        if total > bounds.parameters:
            raise SpecError.of(f"there are {total:,} parameters, more than {bounds.parameters:,}")
    return stack


def make_arrangement_space(stack: Stack, out: Path, bounds: Bounds, read: ReadDonor) -> ArrangementSpace:
    """The space of orders of a stack's layers and those of its donors; specs are written as if they were in `out`.

    If the stack consists of plain slices, it is where the search starts; any other stack becomes a donor itself. Donors
    whose layers do not fit the start's are left out.
    """
    frame, start, depths = _make_frame(stack, out)

    def make(spec: StackSpec) -> Stack:
        text = to_native(spec).encode()
        return check_bounds(load_text(text, out.parent / f"{out.stem}.candidate.yml", read=read), bounds)

    most = bounds.layers or round(len(start) * DEEPEST)
    whole = ArrangementSpace(frame, depths, start, max(most, len(start)), make=make)
    kept = {name: depth for name, depth in depths.items() if _fits(whole, name)}
    donors = {**stack.donors, **make(whole.write_spec(start)).donors}
    can_hop = not any(
        reason for name in kept for reason in find_hop_refusals(donors[name].architecture, donors[name].config, 0)
    )
    return replace(
        whole,
        depths=kept,
        writers=list_divided_roles([donors[name] for name in kept]),
        can_hop=can_hop,
    )


def _make_frame(stack: Stack, out: Path) -> tuple[StackSpec, Arrangement, dict[str, int]]:
    """The spec around the layers, the start, and the depths of the donors, the start's first donor first."""
    spec = stack.spec
    depths = {name: donor.depth for name, donor in stack.donors.items()}
    donors = tuple(move_donor(each, stack.folder, out.parent) for each in spec.donors)
    plain = None if spec.dialect is not Dialect.NATIVE else read_items(spec.stack, depths)
    frame = StackSpec(spec.name, donors, (), output=spec.output)
    if plain is not None:
        order = dict.fromkeys([*(each.donor for each in plain), *depths])
        frame = replace(
            frame,
            embed=spec.embed or SliceSpec(plain[0].donor),
            head=spec.head or SliceSpec(plain[-1].donor),
            tokenizer=spec.tokenizer,
            config=spec.config,
            vocabulary=spec.vocabulary,
            base=spec.base if any(isinstance(end, BlendSpec) for end in (spec.embed, spec.head)) else None,
            chat_template=spec.chat_template,
        )
        return frame, plain, {name: depths[name] for name in order}
    name = next(name for name in _list_names() if name not in depths)
    source = os.path.relpath(stack.folder / Path(spec.source).name, out.parent)
    whole = DonorSpec(name, stack=source if source.startswith(".") else f"./{source}")
    depth = len(stack.graph.layers)
    frame = replace(frame, donors=(whole, *donors), embed=SliceSpec(name), head=SliceSpec(name))
    return frame, make_run(name, 0, depth), {name: depth, **depths}


def _list_names() -> Iterator[str]:
    yield "start"
    yield from (f"start{number}" for number in count(2))


def move_donor(donor: DonorSpec, folder: Path, to: Path) -> DonorSpec:
    """A donor of a spec in `folder`, as a spec in the folder `to` names it."""
    source, stack, like = (each and _move(each, folder, to) for each in (donor.source, donor.stack, donor.like))
    return replace(donor, source=source, stack=stack, like=like)


def _move(source: str, folder: Path, to: Path) -> str:
    path = Path(source)
    if path.is_absolute() or not exists(folder / path):
        return source
    moved = os.path.relpath(folder / path, to)
    return moved if moved.startswith(".") else f"./{moved}"


def _fits(space: ArrangementSpace, name: str) -> bool:
    """Whether a stack with one layer of a donor in it passes all checks."""
    depth = space.depths[name]
    middle = len(space.start) // 2
    places = (*space.start[:middle], *make_run(name, min(middle, depth - 1), min(middle, depth - 1) + 1))
    try:
        stack: Stack = space.make(space.write_spec((*places, *space.start[middle + 1 :])))
    except StackerError:
        return False
    return not select_errors(stack.problems)


def list_donors(stack: Stack) -> Mapping[str, DonorSpec]:
    """The donors of a stack that are no base, by name."""
    return {each.name: each for each in stack.spec.donors if each.name != stack.spec.base}
