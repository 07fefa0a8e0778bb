"""From what `new` is asked for to the texts of specs that hold for the donors named; nothing is written here."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from stacker.cli.recipes import recipe_of
from stacker.compose import load_text
from stacker.errors import DonorError, Mark, Problem, Severity, SpecError, StackerError, did_you_mean, raise_problems
from stacker.io.donors.reading import read_nearby
from stacker.io.files.spec_files import recipe_names, recipe_path
from stacker.spec.generators import GENERATORS, Generator, check_numbers, fill_numbers, write_generated
from stacker.spec.language.stack_spec import DonorSpec
from stacker.spec.language.value_grammar import parse_source
from stacker.spec.parser import parse_spec
from stacker.spec.recipes import replace_donors

Fitted = tuple[dict[Path, str], list[Problem]]
"""Texts by where they belong, the spec itself first, and what the user should hear about it."""
DEPTH = "depth"
"""A number that every generator takes: how many layers the donors have, where they cannot be asked."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for: a recipe, donors by name, numbers by name, and where the spec is to go."""

    recipe: str
    donors: Mapping[str, str]
    numbers: Mapping[str, int]
    like: str | None = None
    file: Path | None = None


def fit(order: Order) -> Fitted:
    """The spec ordered, and those it is made of; raises all that is wrong with it for these donors."""
    names = (*recipe_names(), *GENERATORS)
    if order.recipe not in names:
        hint = did_you_mean(order.recipe, names)
        raise SpecError.of(f"there is no recipe '{order.recipe}'", hint)
    if order.recipe in GENERATORS:
        return _fit_generator(GENERATORS[order.recipe], order)
    return _fit_recipe(order)


def _fit_generator(generator: Generator, order: Order) -> Fitted:
    donors = _donors(order)
    raise_problems(_check_order(generator, order))
    depth, notes = _depth(donors, order)
    numbers = {name: value for name, value in order.numbers.items() if name != DEPTH}
    wrong = check_numbers(generator, depth, fill_numbers(generator, depth, numbers))
    raise_problems(Problem(message, f"stacker recipes {generator.name} tells its numbers") for message in wrong)
    text = write_generated(generator, donors, depth, numbers, str(order.file or "FILE"))
    path = order.file or Path(f"{generator.name}.yml")
    if not notes:
        raise_problems(load_text(text.encode(), path, read=read_nearby).problems)
    return {path: text}, notes


def depth_of(order: Order) -> int:
    """How deep the donors of an order are; raises what keeps it from being known."""
    return _depth(_donors(order), order)[0]


def _donors(order: Order) -> list[DonorSpec]:
    """The donors named, their folders as seen from where the spec is to lie."""
    return [
        replace(parse_source(name, _seen_from(source, order.file), Mark(f"--donor {name}={source}")), like=order.like)
        for name, source in order.donors.items()
    ]


def _seen_from(source: str, file: Path | None) -> str:
    """A relative folder, typed in the current folder, as the spec in `file` must write it."""
    if not Path(source).is_dir() or Path(source).is_absolute():
        return source
    below = os.path.relpath(source, file.parent if file else ".")
    return below if below.startswith(".") else f"./{below}"


def _check_order(generator: Generator, order: Order) -> Iterator[Problem]:
    fewest, most = generator.donors
    count = len(order.donors)
    if count < fewest or (most is not None and count > most):
        wanted = f"{fewest} donor{'s'[: fewest > 1]}{'' if most else ' or more'}"
        example = " ".join(f"--donor {name}=org/name" for name in "ab"[:fewest])
        yield Problem(f"{generator.name} takes {wanted}, not {count}", f"for instance: {example}")
    known = [*(number.name for number in generator.numbers), DEPTH]
    for name in order.numbers:
        if name not in known:
            yield Problem(f"{generator.name} has no number '{name}'", did_you_mean(name, known))


def _depth(donors: list[DonorSpec], order: Order) -> tuple[int, list[Problem]]:
    """How deep the donors are: as read, or as said where they cannot be read, which a note then tells."""
    depths: dict[str, int] = {}
    problems: list[Problem] = []
    folder = order.file.parent if order.file else Path()
    for donor in donors:
        try:
            depths[donor.name] = read_nearby(donor, folder).depth
        except StackerError as error:
            problems += error.problems
    if problems and DEPTH in order.numbers:
        return order.numbers[DEPTH], [replace(problem, severity=Severity.NOTE) for problem in problems]
    if problems:
        hint = "say how deep it is with -p depth=32, or what it is like with --like llama-2-70b"
        raise DonorError(*(replace(p, hint="\n".join(filter(None, (p.hint, hint)))) for p in problems))
    found = set(depths.values()) if DEPTH not in order.numbers else {order.numbers[DEPTH]}
    if len(found) > 1:
        each = ", ".join(f"{name} has {depth}" for name, depth in depths.items())
        raise SpecError.of(f"the donors differ in depth: {each}", f"say how much to use: -p depth={min(found)}")
    return found.pop(), []


def _fit_recipe(order: Order) -> Fitted:
    if order.numbers:
        hint = f"generators have: {', '.join(GENERATORS)}"
        raise SpecError.of(f"recipe '{order.recipe}' has no numbers to set", hint)
    chain = list(_chain(order.recipe))
    if len(chain) > 1 and order.file is None:
        made = " of ".join(chain)
        hint = f"stacker new {order.recipe} -o {order.recipe}.yaml writes all {len(chain)} files side by side"
        raise SpecError.of(f"this recipe is made of others: {made}", hint)
    folder = order.file.parent if order.file else Path()
    texts = _texts(order, chain)
    paths = [order.file or Path(f"{order.recipe}.yml"), *(folder / f"{name}.yaml" for name in chain[1:])]
    if order.donors:
        # The last of the chain has the donors; those before it are as deep as the recipe says if this one holds.
        raise_problems(load_text(texts[-1].encode(), paths[-1], read=read_nearby).problems)
    return dict(zip(paths, texts, strict=True)), []


def _chain(name: str) -> Iterator[str]:
    """A recipe, the recipe that its donor is, and so on."""
    yield name
    spec = parse_spec(recipe_of(name).text, str(recipe_path(name)))
    for donor in spec.donors:
        if donor.stack is not None:
            yield from _chain(Path(donor.stack).stem)


def _texts(order: Order, chain: list[str]) -> list[str]:
    """The recipes' texts with the donors named in place of theirs; the reference configs stay."""
    texts = {name: recipe_of(name).text for name in chain}
    known = {
        donor.name: donor
        for name, text in texts.items()
        for donor in parse_spec(text, str(recipe_path(name))).donors
        if donor.stack is None
    }
    strange = [name for name in order.donors if name not in known]
    raise_problems(
        Problem(f"recipe '{order.recipe}' has no donor '{name}'", did_you_mean(name, known)) for name in strange
    )
    named = {d.name: replace(d, like=order.like or known[d.name].like) for d in _donors(order)}
    return [replace_donors(text, _of(named, text)) for text in texts.values()]


def _of(named: Mapping[str, DonorSpec], text: str) -> dict[str, DonorSpec]:
    """Those of the donors that stand in this text with a source of their own."""
    own = {donor.name for donor in parse_spec(text, "recipe").donors if donor.stack is None}
    return {name: donor for name, donor in named.items() if name in own}
