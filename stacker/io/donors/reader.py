"""Reads donors without their weights: config, headers of the weight files, and the role and layer of each tensor.

Whether donors fit together is not checked here but in `stacker.core`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from logging import getLogger
from pathlib import Path

from rich import filesize

from stacker.arch.bindings.lengths import check_list_lengths
from stacker.arch.completeness import check_tensors
from stacker.arch.dimensions import count_layers, select_text_config
from stacker.arch.families import find_architecture
from stacker.arch.files.architecture import Architecture, Config
from stacker.arch.inference import infer_architecture
from stacker.arch.model_kind import refuse_encoder_decoder
from stacker.arch.placement import TensorPlacement, list_expected_tensors, place_tensors
from stacker.arch.variants import adapt_architecture
from stacker.arch.wrapping import find_wrapped_architecture
from stacker.core.values.donor import Donor
from stacker.errors import Blame, DonorError, Mark, Problem, Severity, StackerError, escape_text, raise_problems
from stacker.formats.gguf_names import find_models
from stacker.formats.json_object import MAX_JSON_BYTES, Json, parse_object
from stacker.formats.quantized import describe_quantization
from stacker.io.donors.adapters import add_adapters
from stacker.io.donors.gguf import build_gguf_donor, select_model
from stacker.io.donors.location import is_local, mark_file, open_donor, read_reference
from stacker.io.donors.side_files import list_side_files
from stacker.io.donors.tensors import build_files, build_tensor, build_tensors, default_mark, find_local_path
from stacker.io.donors.weights import WeightHeaders, has_weights, read_weight_headers
from stacker.io.files.repository import Repository
from stacker.spec.language.stack_spec import Dialect, DonorSpec
from stacker.tensors import TensorSpec

_CONFIG = "config.json"
_MOST_ENTRIES = 10_000
"""The most entries of a config; those of published models have some hundreds."""
_LOG = getLogger(__name__)
_LISTS_OF_LAYERS = {"quantization_config", "compression_config"}
"""Nested configs that may have entries for each module of a model."""
ReadDonor = Callable[[DonorSpec, Path, Dialect], Donor]
"""A function that reads the donor that a DonorSpec describes.

Its other arguments are the folder where relative paths start, and the dialect of the spec file.
"""


def read_donor(spec: DonorSpec, folder: Path, dialect: Dialect = Dialect.NATIVE) -> Donor:
    """Read the donor that `spec` describes, or raise all problems of this donor together.

    Relative paths start at `folder`; in mergekit's dialect, the current folder is tried first. If `spec.like` names a
    reference config, a donor that is missing or has no weights is made from that config alone. The spec's adapters are
    folded in.
    """
    donor = add_adapters(_read_bare_donor(spec, folder, dialect), spec, folder, dialect)
    _LOG.info("donor '%s': %s", donor.name, _describe_place(donor))
    return donor


def _describe_place(donor: Donor) -> str:
    """Where a donor was found, with its family, its depth, and the number and size of its files."""
    here = next((os.path.normpath(Path(file.path).parent) for file in donor.files if file.path), "")
    revision = f"@{donor.revision}" if donor.revision else ""
    size, count = sum(file.size for file in donor.files), len(donor.files)
    weights = f"{count} file{'s'[: count != 1]} of weights, {filesize.decimal(size)}" if count else "no weights"
    found = f" in {here}" if here and here != donor.source else ""
    return f"{donor.source}{revision}{found}: {donor.architecture.name}, {donor.depth} layers, {weights}"


def _read_bare_donor(spec: DonorSpec, folder: Path, dialect: Dialect) -> Donor:
    reasons: tuple[Problem, ...] = (Problem("the donor has no weights"),)
    try:
        repository = open_donor(spec, folder, dialect)
        names = repository.list_names()
        missing = spec.like is not None and not has_weights(names) and not find_models(names)
    except DonorError as error:
        if spec.like is None:
            raise
        missing, reasons = True, error.problems
    if missing:
        donor = _build_from_config(spec, read_reference(spec, folder))
        return replace(donor, warnings=tuple(_note_reference(spec, reason) for reason in reasons))
    return build_donor(repository, spec.name, str(spec.source))


def remember_donors(read: ReadDonor) -> ReadDonor:
    """A function that reads donors as `read` does, but each only once, even if its files change meanwhile."""
    known: dict[tuple[DonorSpec, Path, Dialect], Donor] = {}

    def recall(spec: DonorSpec, folder: Path, dialect: Dialect = Dialect.NATIVE) -> Donor:
        key = spec, folder.absolute(), dialect
        if key not in known:
            known[key] = read(spec, folder, dialect)
        return known[key]

    return recall


def _note_reference(spec: DonorSpec, reason: Problem) -> Problem:
    """Make a note for the user that the reference config was read instead of the donor, and for what reason."""
    message = f"{spec.like} stands in for donor '{spec.name}': {reason.message}"
    return Problem(message, reason.hint, spec.mark, Severity.NOTE, Blame.DONOR)


def read_from_reference(spec: DonorSpec, folder: Path, dialect: Dialect = Dialect.NATIVE) -> Donor:
    """Make a donor from the reference config that `spec.like` names, without looking for the donor's weights.

    If `spec.like` is None, the donor itself is read.
    """
    if spec.like is None:
        return read_donor(spec, folder, dialect)
    return add_adapters(_build_from_config(spec, read_reference(spec, folder)), spec, folder, dialect)


def read_avoiding_hub(spec: DonorSpec, folder: Path, dialect: Dialect = Dialect.NATIVE) -> Donor:
    """Read a donor from its local folder if there is one, else from the config `spec.like`, else from the hub.

    Commands that only show something use this function, so that they need not wait for the hub.
    """
    read = read_donor if spec.like is None or is_local(spec, folder, dialect) else read_from_reference
    return read(spec, folder, dialect)


def build_donor(repository: Repository, name: str, source: str) -> Donor:
    """Read the donor `name` from the files of a repository; `source` is the donor's source as written in the spec.

    All problems of the donor are raised together, as one error.
    """
    model = None if has_weights(repository.list_names()) else select_model(repository)
    if model:
        return build_gguf_donor(model, name, source)
    config, weights = _read_config_and_headers(repository)
    specs = {tensor.spec.name: tensor.spec for header in weights.headers.values() for tensor in header.tensors}
    with default_mark(mark_file(repository, _CONFIG)):
        architecture = _find_architecture(config, specs)
        depth = count_layers(architecture, config)
        placements = place_tensors(architecture, config, specs)
        problems = tuple(_check_placements(repository, architecture, config, specs, placements))
    raise_problems(problems)
    side_files, other_files = list_side_files(repository, source, weights.headers)
    return Donor(
        name=name,
        source=source,
        config=config,
        architecture=architecture,
        depth=depth,
        tensors=build_tensors(weights.headers, placements),
        files=build_files(repository, weights.headers),
        side_files=side_files,
        other_files=other_files,
        ignored=tuple((own, place.ignored) for own, place in placements.items() if place.ignored),
        revision=repository.revision,
        anchor=find_local_path(repository, _CONFIG),
        warnings=(*weights.warnings, *problems, *_note_inference(architecture, repository)),
        quantized=describe_quantization(select_text_config(architecture, config), specs.values()),
        descriptions={
            key: text for each in weights.headers.values() for key, text in each.metadata.items() if key != "format"
        },
    )


def _note_inference(architecture: Architecture, repository: Repository) -> Iterator[Problem]:
    """Yield a note for the user if the architecture was inferred, because stacker has no file that describes it."""
    if architecture.inferred:
        hint = "check the preview: roles and per-layer entries are guesses"
        message = f"no architecture file describes '{architecture.name}'; its layers and roles are inferred"
        yield Problem(message, hint, mark_file(repository, _CONFIG), Severity.NOTE, Blame.DONOR)


def _find_architecture(config: Config, specs: Mapping[str, TensorSpec]) -> Architecture:
    """Find the architecture file in stacker that describes a donor, or infer the architecture from config and tensors.

    If no file describes the donor's model type, a file for the language model inside the donor (say, inside a
    vision-language model) is tried before inferring; `specs` maps each tensor's name to its spec.
    """
    refuse_encoder_decoder(config, specs)
    known = find_architecture(config) or find_wrapped_architecture(config, specs)
    return adapt_architecture(known, config, specs) if known else infer_architecture(config, specs)


def _read_config_and_headers(repository: Repository) -> tuple[dict[str, Json], WeightHeaders]:
    """Read a donor's config and the headers of its weight files.

    All problems of config and weight files are raised together, as one error.
    """
    config: dict[str, Json] = {}
    weights = WeightHeaders({})
    problems: list[Problem] = []
    try:
        mark = mark_file(repository, _CONFIG)
        config = parse_object(repository.read(_CONFIG, MAX_JSON_BYTES), str(mark))
        _check_entries(config, mark)
    except StackerError as error:
        problems += error.problems
    try:
        weights = read_weight_headers(repository)
    except StackerError as error:
        reported = {(problem.message, problem.hint) for problem in problems}  # a gated repository fails both times
        problems += (problem for problem in error.problems if (problem.message, problem.hint) not in reported)
    raise_problems(problems)
    return config, weights


def _check_entries(config: Config, mark: Mark) -> None:
    """Raise a DonorError if the config, or a config of a part of the model inside it, has absurdly many entries."""
    inner = (value for key, value in config.items() if key.endswith("_config") and key not in _LISTS_OF_LAYERS)
    most = max(len(each) for each in (config, *inner) if isinstance(each, dict))
    if most > _MOST_ENTRIES:
        raise DonorError.of(f"this config has {most:,} entries; stacker reads at most {_MOST_ENTRIES:,}", "", mark)


def _check_placements(
    repository: Repository,
    architecture: Architecture,
    config: Config,
    specs: Mapping[str, TensorSpec],
    placements: Mapping[str, TensorPlacement],
) -> Iterator[Problem]:
    """Yield a problem for each contradiction between a donor's config, its tensors and its architecture.

    `placements` maps each tensor's name to its place in the architecture; two tensors with the same name there are
    a problem too.
    """
    lengths = check_list_lengths(architecture, config, count_layers(architecture, config))
    for problem in (*lengths, *check_tensors(architecture, config, specs, placements)):
        yield replace(problem, mark=problem.mark or mark_file(repository, _CONFIG))
    names: dict[str, str] = {}
    for own, place in placements.items():
        if names.setdefault(place.name, own) != own:
            message = f"'{escape_text(own)}' and '{escape_text(names[place.name])}' are one tensor in this architecture"
            yield Problem(message, "remove one of them", Mark(repository.source), blame=Blame.DONOR)


def _build_from_config(spec: DonorSpec, config: Config) -> Donor:
    """Make a donor from a config alone: it has all tensors that the architecture expects, but no weights."""
    architecture = _find_packaged(spec, config)
    with default_mark(spec.mark or Mark(str(spec.like))):
        depth = count_layers(architecture, config)
        specs = {tensor.name: tensor for tensor in list_expected_tensors(architecture, config)}
    placements = place_tensors(architecture, config, specs)
    return Donor(
        name=spec.name,
        source=str(spec.source),
        config=config,
        architecture=architecture,
        depth=depth,
        tensors={place.name: build_tensor(specs[own], place) for own, place in placements.items()},
        weights=False,
        quantized=describe_quantization(select_text_config(architecture, config), ()),
    )


def _find_packaged(spec: DonorSpec, config: Config) -> Architecture:
    """The architecture that is packaged with stacker for this config; DonorError when there is none."""
    with default_mark(spec.mark or Mark(str(spec.like))):
        refuse_encoder_decoder(config)
    architecture = find_architecture(config)
    if architecture is None:
        family = escape_text(str(config.get("model_type")))
        message = f"the tensors of '{family}' are unknown without weights: no architecture file describes that family"
        raise DonorError.of(message, "give the donor's weights", spec.mark)
    return architecture
