"""Donors, read: config and headers, an architecture, and the place of every tensor. No weight is touched.

What a family is made of is for `arch`; whether donors fit together is for `core`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from stacker.arch.completeness import check_tensors
from stacker.arch.dimensions import depth_of, text_config
from stacker.arch.families import find_architecture
from stacker.arch.files.architecture import Architecture, Config
from stacker.arch.inference import infer_architecture
from stacker.arch.placement import Placement, expected_tensors, place_tensors
from stacker.arch.wrapping import wrapped_architecture
from stacker.core.values.donor import Donor, DonorFile, DonorTensor, Extent
from stacker.errors import Blame, DonorError, Mark, Problem, Severity, StackerError, escape_text, raise_problems
from stacker.formats.json_object import MAX_JSON_BYTES, Json, parse_object
from stacker.formats.quantized import describe_quantization
from stacker.formats.safetensors import Header
from stacker.io.donors.location import is_here, mark_file, open_donor, read_reference
from stacker.io.donors.side_files import list_side_files
from stacker.io.donors.weights import Weights, has_weights, read_weight_headers
from stacker.io.files.repository import Repository
from stacker.spec.language.stack_spec import Dialect, DonorSpec
from stacker.tensors import TensorSpec

_CONFIG = "config.json"
ReadDonor = Callable[[DonorSpec, Path, Dialect], Donor]
"""What reads a donor of a spec that lies in a folder."""


def read_donor(spec: DonorSpec, folder: Path, dialect: Dialect = Dialect.NATIVE) -> Donor:
    """The donor that a spec names; relative folders start at `folder`, the spec's.

    With `like`, a donor that is away or has no weights is made of the reference config: all its tensors, no bytes.
    Everything that is wrong with the donor is raised together: DonorError, or UnsafeError where that is graver.
    """
    reasons: tuple[Problem, ...] = (Problem("there are no weights in it"),)
    try:
        repository = open_donor(spec, folder, dialect)
        away = spec.like is not None and not has_weights(repository.list_names())
    except DonorError as error:
        if spec.like is None:
            raise
        away, reasons = True, error.problems
    if away:
        stand_in = _donor_without_weights(spec, read_reference(spec, folder))
        return replace(stand_in, warnings=tuple(_stands_in(spec, reason) for reason in reasons))
    return build_donor(repository, spec.name, str(spec.source))


def _stands_in(spec: DonorSpec, reason: Problem) -> Problem:
    """Why it is not the donor itself that was read; a build would fail for it, a look does not."""
    message = f"{spec.like} stands in for donor '{spec.name}': {reason.message}"
    return Problem(message, reason.hint, spec.mark, Severity.NOTE, Blame.DONOR)


def read_from_reference(spec: DonorSpec, folder: Path, dialect: Dialect = Dialect.NATIVE) -> Donor:
    """The donor made of the reference config that `like` names, wherever its weights are; without `like`, read."""
    if spec.like is None:
        return read_donor(spec, folder, dialect)
    return _donor_without_weights(spec, read_reference(spec, folder))


def read_avoiding_hub(spec: DonorSpec, folder: Path, dialect: Dialect = Dialect.NATIVE) -> Donor:
    """The donor, or its stand-in where it is no folder here: who only looks need not wait for the hub."""
    read = read_donor if spec.like is None or is_here(spec, folder, dialect) else read_from_reference
    return read(spec, folder, dialect)


def build_donor(repository: Repository, name: str, source: str) -> Donor:
    """The donor that a repository's files make, called `name`; `source` is what the spec calls it."""
    config, weights = _read_both(repository)
    specs = {tensor.spec.name: tensor.spec for header in weights.headers.values() for tensor in header.tensors}
    with _located(mark_file(repository, _CONFIG)):
        architecture = _architecture(config, specs)
        depth = depth_of(architecture, config)
        placements = place_tensors(architecture, config, specs)
        problems = tuple(_check_placements(repository, architecture, config, specs, placements))
    raise_problems(problems)
    return Donor(
        name=name,
        source=source,
        config=config,
        architecture=architecture,
        depth=depth,
        tensors=_place(weights.headers, placements),
        files=_files(repository, weights.headers),
        side_files=list_side_files(repository, source),
        ignored=tuple((own, place.ignored) for own, place in placements.items() if place.ignored),
        revision=repository.revision,
        anchor=_local(repository, _CONFIG),
        warnings=(*weights.warnings, *problems),
        quantized=describe_quantization(text_config(architecture, config), specs.values()),
    )


def _architecture(config: Config, specs: Mapping[str, TensorSpec]) -> Architecture:
    """The family by its file, by that of the language model in it, or inferred."""
    known = find_architecture(config) or wrapped_architecture(config, specs)
    return known or infer_architecture(config, specs)


def _read_both(repository: Repository) -> tuple[dict[str, Json], Weights]:
    """Config and headers; the problems of both are raised together."""
    config: dict[str, Json] = {}
    weights = Weights({})
    problems: list[Problem] = []
    try:
        config = parse_object(repository.read(_CONFIG, MAX_JSON_BYTES), str(mark_file(repository, _CONFIG)))
    except StackerError as error:
        problems += error.problems
    try:
        weights = read_weight_headers(repository)
    except StackerError as error:
        said = {(each.message, each.hint) for each in problems}  # of a repository that lets nobody in, say
        problems += (each for each in error.problems if (each.message, each.hint) not in said)
    raise_problems(problems)
    return config, weights


@contextmanager
def _located(mark: Mark) -> Iterator[None]:
    """Problems found inside that have no place get this one."""
    try:
        yield
    except StackerError as error:
        problems = (replace(problem, mark=problem.mark or mark) for problem in error.problems)
        raise type(error)(*problems) from error


def _check_placements(
    repository: Repository,
    architecture: Architecture,
    config: Config,
    specs: Mapping[str, TensorSpec],
    placements: Mapping[str, Placement],
) -> Iterator[Problem]:
    """Config and tensors are of one donor, and no two tensors are one to the family."""
    for problem in check_tensors(architecture, config, specs, placements):
        yield replace(problem, mark=problem.mark or mark_file(repository, _CONFIG))
    names: dict[str, str] = {}
    for own, place in placements.items():
        if names.setdefault(place.name, own) != own:
            message = f"'{escape_text(own)}' and '{escape_text(names[place.name])}' are one tensor to this family"
            yield Problem(message, "remove one of them", Mark(repository.source), blame=Blame.DONOR)


def _place(headers: Mapping[str, Header], placements: Mapping[str, Placement]) -> dict[str, DonorTensor]:
    """The tensors that a stack may carry, by the family's full name, in the order of the files' bytes."""
    placed = {}
    for number, header in enumerate(headers.values()):
        for tensor in header.tensors:
            place = placements[tensor.spec.name]
            if not place.ignored:
                extent = Extent(number, tensor.begin, tensor.nbytes)
                placed[place.name] = _donor_tensor(tensor.spec, place, extent)
    return placed


def _donor_tensor(spec: TensorSpec, place: Placement, extent: Extent | None = None) -> DonorTensor:
    named = spec if spec.name == place.name else replace(spec, name=place.name)
    return DonorTensor(named, place.part, place.role, place.layer, place.suffix, extent)


def _files(repository: Repository, headers: Mapping[str, Header]) -> tuple[DonorFile, ...]:
    return tuple(
        DonorFile(name, header.size, header.digest, _local(repository, name), header.mtime)
        for name, header in headers.items()
    )


def _local(repository: Repository, name: str) -> str | None:
    """The path of a file that is on this machine."""
    path = repository.find_path(name)
    return str(path.absolute()) if path else None


def _donor_without_weights(spec: DonorSpec, config: Config) -> Donor:
    """A donor of which there is only a config: its tensors as the family promises them."""
    architecture = _known(spec, config)
    with _located(spec.mark or Mark(str(spec.like))):
        depth = depth_of(architecture, config)
        specs = {tensor.name: tensor for tensor in expected_tensors(architecture, config)}
    placements = place_tensors(architecture, config, specs)
    return Donor(
        name=spec.name,
        source=str(spec.source),
        config=config,
        architecture=architecture,
        depth=depth,
        tensors={place.name: _donor_tensor(specs[own], place) for own, place in placements.items()},
        weights=False,
        quantized=describe_quantization(text_config(architecture, config), ()),
    )


def _known(spec: DonorSpec, config: Config) -> Architecture:
    architecture = find_architecture(config)
    if architecture is None:
        family = escape_text(str(config.get("model_type")))
        message = f"the tensors of '{family}' are not known without weights: no file describes that family"
        raise DonorError.of(message, "give the donor's weights", spec.mark)
    return architecture
