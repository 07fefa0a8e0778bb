"""The stacks that a winner has to beat: the donors, and what needs no search: linear, slerp and ram of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from stacker.compose import Stack, draw_blueprint, load_text
from stacker.errors import StackerError, select_errors
from stacker.io.donors.reader import ReadDonor
from stacker.live.live_stack import LiveStack
from stacker.search.evaluation.comparison import Contender
from stacker.searching.spaces import list_donors
from stacker.spec.language.parameter_grammar import make_constant
from stacker.spec.language.stack_spec import BlendSpec, Setting, SliceSpec, StackSpec
from stacker.spec.native.writer import to_native


def list_baselines(stack: Stack, read: ReadDonor) -> Iterator[tuple[str, Stack]]:
    """Yield the donors of a stack that are no base, and the simple blends of them, each with its name.

    Blends that the donors or their shapes do not allow are left out.
    """
    names = [*list_donors(stack)]
    for name in names:
        yield from _load(name, StackSpec(name, stack.spec.donors, (SliceSpec(name),)), stack, read)
    if len(names) > 1:
        for title, blend in _list_blends(names, stack.spec.base):
            spec = StackSpec("blend", stack.spec.donors, (blend,), base=stack.spec.base, embed=blend, head=blend)
            yield from _load(title, spec, stack, read)


def _list_blends(names: Sequence[str], base: str | None) -> Iterator[tuple[str, BlendSpec]]:
    sources = tuple(map(SliceSpec, names))
    share = 1 / len(names)
    yield f"linear {share:.2g}", BlendSpec(sources, "linear", (Setting("weight", make_constant(share)),))
    if len(names) == 2:
        yield "slerp 0.5", BlendSpec(sources, "slerp", (Setting("t", make_constant(0.5)),))
    if base is not None:
        yield "ram", BlendSpec(sources, "ram")


def _load(name: str, spec: StackSpec, stack: Stack, read: ReadDonor) -> Iterator[tuple[str, Stack]]:
    try:
        found = load_text(to_native(spec).encode(), stack.folder / Path("baseline.yml"), read=read)
    except StackerError:
        return
    if not select_errors(found.problems):
        yield name, found


def make_contender(name: str, stack: Stack, start: LiveStack) -> Contender:
    """A stack that shares its weights with `start` when it is loaded."""
    return Contender(name, stack.plan().id, lambda: start.rearranged(stack), lambda: draw_blueprint(stack))
