"""Reads donors: the config, the headers of the weight files, the architecture, and the position of every tensor.

Reads no weights, and does not know whether donors fit together: that is for `core`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from stacker.arch.bindings import check_list_lengths
from stacker.arch.completeness import check_tensors
from stacker.arch.dimensions import count_layers, select_text_config
from stacker.arch.families import find_architecture
from stacker.arch.files.architecture import Architecture, Config
from stacker.arch.inference import infer_architecture
from stacker.arch.placement import TensorPlacement, list_expected_tensors, place_tensors
from stacker.arch.wrapping import find_wrapped_architecture
from stacker.core.values.donor import Donor, DonorFile, DonorTensor, Extent
from stacker.errors import Blame, DonorError, Mark, Problem, Severity, StackerError, escape_text, raise_problems
from stacker.formats.json_object import MAX_JSON_BYTES, Json, parse_object
from stacker.formats.quantized import describe_quantization
from stacker.formats.safetensors import Header
from stacker.io.donors.location import is_local, mark_file, open_donor, read_reference
from stacker.io.donors.side_files import list_side_files
from stacker.io.donors.weights import WeightHeaders, has_weights, read_weight_headers
from stacker.io.files.repository import Repository
from stacker.spec.language.stack_spec import Dialect, DonorSpec
from stacker.tensors import TensorSpec

_CONFIG = "config.json"
ReadDonor = Callable[[DonorSpec, Path, Dialect], Donor]
"""A function that reads a donor, given the folder of the spec."""


def read_donor(spec: DonorSpec, folder: Path, dialect: Dialect = Dialect.NATIVE) -> Donor:
    """The donor that `spec` names; relative paths start at `folder`, that of the spec file.

    With `like`, a donor that is missing or has no weights is built from the reference config, without bytes. All
    problems of the donor are raised together, as a DonorError or an UnsafeError.
    """
    reasons: tuple[Problem, ...] = (Problem("the donor has no weights"),)
    try:
        repository = open_donor(spec, folder, dialect)
        missing = spec.like is not None and not has_weights(repository.list_names())
    except DonorError as error:
        if spec.like is None:
            raise
        missing, reasons = True, error.problems
    if missing:
        donor = _build_from_config(spec, read_reference(spec, folder))
        return replace(donor, warnings=tuple(_note_reference(spec, reason) for reason in reasons))
    return build_donor(repository, spec.name, str(spec.source))


def _note_reference(spec: DonorSpec, reason: Problem) -> Problem:
    """A note that the reference config was read instead of the donor; a build would fail, a preview does not."""
    message = f"{spec.like} stands in for donor '{spec.name}': {reason.message}"
    return Problem(message, reason.hint, spec.mark, Severity.NOTE, Blame.DONOR)


def read_from_reference(spec: DonorSpec, folder: Path, dialect: Dialect = Dialect.NATIVE) -> Donor:
    """The donor built from the reference config that `like` names; without `like`, the donor itself."""
    if spec.like is None:
        return read_donor(spec, folder, dialect)
    return _build_from_config(spec, read_reference(spec, folder))


def read_avoiding_hub(spec: DonorSpec, folder: Path, dialect: Dialect = Dialect.NATIVE) -> Donor:
    """The donor, built from its reference config if it has one and is no local folder.

    This spares commands that only look from waiting for the hub.
    """
    read = read_donor if spec.like is None or is_local(spec, folder, dialect) else read_from_reference
    return read(spec, folder, dialect)


def build_donor(repository: Repository, name: str, source: str) -> Donor:
    """The donor `name` from the files of a repository; `source` is what the spec wrote for it."""
    config, weights = _read_config_and_headers(repository)
    specs = {tensor.spec.name: tensor.spec for header in weights.headers.values() for tensor in header.tensors}
    with _default_mark(mark_file(repository, _CONFIG)):
        architecture = _find_architecture(config, specs)
        depth = count_layers(architecture, config)
        placements = place_tensors(architecture, config, specs)
        problems = tuple(_check_placements(repository, architecture, config, specs, placements))
    raise_problems(problems)
    return Donor(
        name=name,
        source=source,
        config=config,
        architecture=architecture,
        depth=depth,
        tensors=_build_tensors(weights.headers, placements),
        files=_build_files(repository, weights.headers),
        side_files=list_side_files(repository, source),
        ignored=tuple((own, place.ignored) for own, place in placements.items() if place.ignored),
        revision=repository.revision,
        anchor=_find_local_path(repository, _CONFIG),
        warnings=(*weights.warnings, *problems),
        quantized=describe_quantization(select_text_config(architecture, config), specs.values()),
    )


def _find_architecture(config: Config, specs: Mapping[str, TensorSpec]) -> Architecture:
    """The architecture from a packaged file, from that of a wrapped language model, or else inferred."""
    known = find_architecture(config) or find_wrapped_architecture(config, specs)
    return known or infer_architecture(config, specs)


def _read_config_and_headers(repository: Repository) -> tuple[dict[str, Json], WeightHeaders]:
    """The config and the headers; the problems of both are raised together."""
    config: dict[str, Json] = {}
    weights = WeightHeaders({})
    problems: list[Problem] = []
    try:
        config = parse_object(repository.read(_CONFIG, MAX_JSON_BYTES), str(mark_file(repository, _CONFIG)))
    except StackerError as error:
        problems += error.problems
    try:
        weights = read_weight_headers(repository)
    except StackerError as error:
        reported = {(problem.message, problem.hint) for problem in problems}  # a gated repository fails both times
        problems += (problem for problem in error.problems if (problem.message, problem.hint) not in reported)
    raise_problems(problems)
    return config, weights


@contextmanager
def _default_mark(mark: Mark) -> Iterator[None]:
    """Add `mark` to the problems of any StackerError raised inside that have none."""
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
    placements: Mapping[str, TensorPlacement],
) -> Iterator[Problem]:
    """Errors where config and tensors contradict each other, or two tensors have one name in the architecture."""
    lengths = check_list_lengths(architecture, config, count_layers(architecture, config))
    for problem in (*lengths, *check_tensors(architecture, config, specs, placements)):
        yield replace(problem, mark=problem.mark or mark_file(repository, _CONFIG))
    names: dict[str, str] = {}
    for own, place in placements.items():
        if names.setdefault(place.name, own) != own:
            message = f"'{escape_text(own)}' and '{escape_text(names[place.name])}' are one tensor in this architecture"
            yield Problem(message, "remove one of them", Mark(repository.source), blame=Blame.DONOR)


def _build_tensors(headers: Mapping[str, Header], placements: Mapping[str, TensorPlacement]) -> dict[str, DonorTensor]:
    """The tensors that a stack may use, by their name in the architecture, in the order of the files' bytes."""
    tensors = {}
    for number, header in enumerate(headers.values()):
        for tensor in header.tensors:
            place = placements[tensor.spec.name]
            if not place.ignored:
                extent = Extent(number, tensor.begin, tensor.nbytes)
                tensors[place.name] = _build_tensor(tensor.spec, place, extent)
    return tensors


def _build_tensor(spec: TensorSpec, place: TensorPlacement, extent: Extent | None = None) -> DonorTensor:
    named = spec if spec.name == place.name else replace(spec, name=place.name)
    return DonorTensor(named, place.part, place.role, place.layer, place.suffix, extent)


def _build_files(repository: Repository, headers: Mapping[str, Header]) -> tuple[DonorFile, ...]:
    return tuple(
        DonorFile(name, header.size, header.digest, _find_local_path(repository, name), header.mtime)
        for name, header in headers.items()
    )


def _find_local_path(repository: Repository, name: str) -> str | None:
    """The absolute path of a file; None while it is only on the hub."""
    path = repository.find_path(name)
    return str(path.absolute()) if path else None


def _build_from_config(spec: DonorSpec, config: Config) -> Donor:
    """A donor from its config alone, with the tensors that the architecture expects and no bytes."""
    architecture = _find_packaged(spec, config)
    with _default_mark(spec.mark or Mark(str(spec.like))):
        depth = count_layers(architecture, config)
        specs = {tensor.name: tensor for tensor in list_expected_tensors(architecture, config)}
    placements = place_tensors(architecture, config, specs)
    return Donor(
        name=spec.name,
        source=str(spec.source),
        config=config,
        architecture=architecture,
        depth=depth,
        tensors={place.name: _build_tensor(specs[own], place) for own, place in placements.items()},
        weights=False,
        quantized=describe_quantization(select_text_config(architecture, config), ()),
    )


def _find_packaged(spec: DonorSpec, config: Config) -> Architecture:
    """The packaged architecture for a config; DonorError when there is none."""
    architecture = find_architecture(config)
    if architecture is None:
        family = escape_text(str(config.get("model_type")))
        message = f"the tensors of '{family}' are unknown without weights: no architecture file describes that family"
        raise DonorError.of(message, "give the donor's weights", spec.mark)
    return architecture
