"""Makes the spec that `stacker new` was asked for and the specs nested in it, and checks them; no file is written."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from stacker.cli.recipes import read_recipe
from stacker.compose import load_text
from stacker.errors import DonorError, Mark, Problem, Severity, SpecError, StackerError, did_you_mean, raise_problems
from stacker.io.donors.reader import read_avoiding_hub
from stacker.io.files.paths import is_folder
from stacker.io.files.spec_files import find_recipe, list_recipes
from stacker.spec.generators import GENERATORS, Generator, check_numbers, fill_numbers, write_generated
from stacker.spec.language.stack_spec import DonorSpec
from stacker.spec.language.value_grammar import parse_source
from stacker.spec.parser import parse_spec
from stacker.spec.recipes import replace_donors

NewSpecs = tuple[dict[Path, str], list[Problem]]
"""A pair: the texts of specs by path, and notes for the user.

The requested spec is the first text, and the specs nested in the requested spec follow.
"""
DEPTH = "depth"
"""Name of a number that a user may set for every generator: how many layers each donor has.

The number is needed if a donor cannot be read, or if the donors have different numbers of layers.
"""


@dataclass(frozen=True, slots=True)
class Request:
    """The arguments of `stacker new`; `recipe` is the name of a recipe or of a generator.

    `donors` are folders or hub ids by donor name, and `numbers` are the generator's numbers by name. `like` is a
    reference config for donors that cannot be read; `file` is the output file, None for standard output.
    """

    recipe: str
    donors: Mapping[str, str]
    numbers: Mapping[str, int]
    like: str | None = None
    file: Path | None = None


def make_specs(request: Request) -> NewSpecs:
    """Make the requested spec and the specs nested in it, and check them.

    Raises StackerError with a list of what is wrong with the request or with the donors.
    """
    names = (*list_recipes(), *GENERATORS)
    if request.recipe not in names:
        hint = did_you_mean(request.recipe, names)
        raise SpecError.of(f"there is no recipe '{request.recipe}'", hint)
    if request.recipe in GENERATORS:
        return _make_generated(GENERATORS[request.recipe], request)
    return _make_recipe(request)


def _make_generated(generator: Generator, request: Request) -> NewSpecs:
    donors = _parse_donors(request)
    raise_problems(_check_generator(generator, request))
    depth, notes = _read_depth(donors, request)
    numbers = {name: value for name, value in request.numbers.items() if name != DEPTH}
    wrong = check_numbers(generator, depth, fill_numbers(generator, depth, numbers))
    raise_problems(Problem(message, f"stacker recipes {generator.name} explains its numbers") for message in wrong)
    text = write_generated(generator, donors, depth, numbers, str(request.file or "FILE"))
    path = request.file or Path(f"{generator.name}.yml")
    if not notes:
        raise_problems(load_text(text.encode(), path, read=read_avoiding_hub).problems)
    return {path: text}, notes


def read_depth(request: Request) -> int:
    """How many layers each donor has: the number `depth` of the request, or else the number read from the donors.

    Without `depth`, raises DonorError if a donor cannot be read, and SpecError if the donors have different numbers of
    layers.
    """
    return _read_depth(_parse_donors(request), request)[0]


def _parse_donors(request: Request) -> list[DonorSpec]:
    """Parse the donors of the request; a relative folder is rewritten as relative to the folder of the output file."""
    return [
        replace(
            parse_source(name, _rebase_folder(source, request.file), Mark(f"--donor {name}={source}")),
            like=request.like,
        )
        for name, source in request.donors.items()
    ]


def _rebase_folder(source: str, file: Path | None) -> str:
    """Make a folder that is relative to the working directory relative to the folder that contains `file`.

    A hub id or an absolute folder is returned unchanged; without `file`, a folder stays relative to the working
    directory.
    """
    if not is_folder(Path(source), DonorError) or Path(source).is_absolute():
        return source
    below = os.path.relpath(source, file.parent if file else ".")
    return below if below.startswith(".") else f"./{below}"


def _check_generator(generator: Generator, request: Request) -> Iterator[Problem]:
    fewest, most = generator.donors
    count = len(request.donors)
    if count < fewest or (most is not None and count > most):
        wanted = f"{fewest} donor{'s'[: fewest > 1]}{'' if most else ' or more'}"
        example = " ".join(f"--donor {name}=org/name" for name in "ab"[:fewest])
        yield Problem(f"{generator.name} takes {wanted}, not {count}", f"for instance: {example}")
    known = [*(number.name for number in generator.numbers), DEPTH]
    for name in request.numbers:
        if name not in known:
            yield Problem(f"{generator.name} has no number '{name}'", did_you_mean(name, known))


def _read_depth(donors: list[DonorSpec], request: Request) -> tuple[int, list[Problem]]:
    """A pair: how many layers each donor has, and notes about donors that cannot be read.

    With `depth` in the request there may be notes; without it, a donor that cannot be read raises the error that
    `read_depth` raises.
    """
    depths: dict[str, int] = {}
    problems: list[Problem] = []
    folder = request.file.parent if request.file else Path()
    for donor in donors:
        try:
            depths[donor.name] = read_avoiding_hub(donor, folder).depth
        except StackerError as error:
            problems += error.problems
    if problems and DEPTH in request.numbers:
        return request.numbers[DEPTH], [replace(problem, severity=Severity.NOTE) for problem in problems]
    if problems:
        hint = "give its depth with -p depth=32, or a reference config with --like llama-2-70b"
        raise DonorError(*(replace(p, hint="\n".join(filter(None, (p.hint, hint)))) for p in problems))
    known = set(depths.values()) if DEPTH not in request.numbers else {request.numbers[DEPTH]}
    if len(known) > 1:
        listed = ", ".join(f"{name} has {depth}" for name, depth in depths.items())
        raise SpecError.of(f"the donors differ in depth: {listed}", f"say how many to use: -p depth={min(known)}")
    return known.pop(), []


def _make_recipe(request: Request) -> NewSpecs:
    if request.numbers:
        hint = f"generators have: {', '.join(GENERATORS)}"
        raise SpecError.of(f"recipe '{request.recipe}' has no numbers to set", hint)
    chain = list(_list_nested(request.recipe))
    if len(chain) > 1 and request.file is None:
        names = " of ".join(chain)
        hint = f"stacker new {request.recipe} -o {request.recipe}.yaml writes all {len(chain)} files side by side"
        raise SpecError.of(f"this recipe nests other recipes: {names}", hint)
    folder = request.file.parent if request.file else Path()
    texts = _replace_donors(request, chain)
    paths = [request.file or Path(f"{request.recipe}.yml"), *(folder / f"{name}.yaml" for name in chain[1:])]
    if request.donors:
        # Donors can be replaced in the innermost spec only. If it has no errors, the specs around it get their layers.
        raise_problems(load_text(texts[-1].encode(), paths[-1], read=read_avoiding_hub).problems)
    return dict(zip(paths, texts, strict=True)), []


def _list_nested(name: str) -> Iterator[str]:
    """Yield the name of a recipe, then the names of the recipes nested in it, from the outermost to the innermost."""
    yield name
    spec = parse_spec(read_recipe(name).text, str(find_recipe(name)))
    for donor in spec.donors:
        if donor.stack is not None:
            yield from _list_nested(Path(donor.stack).stem)


def _replace_donors(request: Request, chain: list[str]) -> list[str]:
    """The YAML texts of the recipes named in `chain`, with donors replaced by donors of the same name in the request.

    A replaced donor keeps the recipe's reference config unless the request names one; SpecError is raised for a donor
    of the request that no recipe in `chain` has.
    """
    texts = {name: read_recipe(name).text for name in chain}
    known = {
        donor.name: donor
        for name, text in texts.items()
        for donor in parse_spec(text, str(find_recipe(name))).donors
        if donor.stack is None
    }
    unknown = [name for name in request.donors if name not in known]
    raise_problems(
        Problem(f"recipe '{request.recipe}' has no donor '{name}'", did_you_mean(name, known)) for name in unknown
    )
    named = {d.name: replace(d, like=request.like or known[d.name].like) for d in _parse_donors(request)}
    return [replace_donors(text, _select_donors(named, text)) for text in texts.values()]


def _select_donors(named: Mapping[str, DonorSpec], text: str) -> dict[str, DonorSpec]:
    """The entries of `named` for donors that the spec `text` declares, except donors made from a nested spec."""
    own = {donor.name for donor in parse_spec(text, "recipe").donors if donor.stack is None}
    return {name: donor for name, donor in named.items() if name in own}
