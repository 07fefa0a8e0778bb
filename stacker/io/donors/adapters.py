"""Reads LoRA adapters without their weights: config and header of the weight file, in a folder or on the hub."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from stacker.arch.files.architecture import Architecture, Part
from stacker.arch.files.formula import parse_formula
from stacker.core.adapters.adapter import MARK, Adapter
from stacker.core.adapters.folding import fold_adapters
from stacker.core.values.donor import Donor, DonorFile, DonorTensor, Extent
from stacker.errors import Blame, DonorError, Mark, Problem, Severity, StackerError, escape_text, raise_problems
from stacker.formats.adapters import CONFIG_FILE, WEIGHTS_FILE, group_adapter_tensors, parse_adapter_config
from stacker.formats.gguf import GgufHeader
from stacker.formats.gguf_adapters import group_gguf_tensors, parse_gguf_adapter
from stacker.formats.json_object import MAX_JSON_BYTES, parse_object
from stacker.formats.safetensors import Header
from stacker.io.donors.location import mark_file, open_donor
from stacker.io.files.repository import Repository
from stacker.io.files.selected_files import SelectedFiles
from stacker.spec.language.stack_spec import AdapterSpec, Dialect, DonorSpec
from stacker.spec.language.value_grammar import make_donor_name

_NO_FAMILY = Architecture("adapter", (), parse_formula("0"), "layers.{i}.")
"""An adapter has no layers, so that no family describes it."""
_PICKLED = ("adapter_model.bin", "adapter_model.pt")


def add_adapters(donor: Donor, spec: DonorSpec, folder: Path, dialect: Dialect = Dialect.NATIVE) -> Donor:
    """The donor with the adapters of its spec folded in; relative paths start at `folder`, as those of donors do.

    All problems of all adapters are raised together, as one DonorError.
    """
    if not spec.adapters:
        return donor
    adapters: list[Adapter] = []
    problems: list[Problem] = []
    for each in spec.adapters:
        name = name_adapter(donor.name, each.source, {adapter.stored.name for adapter in adapters})
        try:
            adapters.append(_read_adapter(name, each, donor, folder, dialect))
        except StackerError as error:
            problems += (replace(problem, mark=problem.mark or each.mark) for problem in error.problems)
    raise_problems(problems)
    try:
        return fold_adapters(donor, adapters)
    except StackerError as error:
        mark = spec.adapters[0].mark
        raise type(error)(*(replace(problem, mark=problem.mark or mark) for problem in error.problems)) from error


def name_adapter(donor: str, source: str, taken: set[str]) -> str:
    """The name by which plans refer to an adapter of a donor: `xwin+lora`; no donor can have such a name."""
    short = {name.removeprefix(donor + MARK) for name in taken}
    return f"{donor}{MARK}{make_donor_name(source, short)}"


def is_adapter(name: str) -> bool:
    """Whether what a plan calls a donor is an adapter, by its name."""
    return MARK in name


def read_stored_adapter(spec: DonorSpec, folder: Path, dialect: Dialect = Dialect.NATIVE) -> Donor:
    """The files and tensors of the adapter at the source of `spec`, in the form of a donor without layers."""
    repository = open_donor(spec, folder, dialect)
    name, header = _read_header(repository)
    path = repository.find_path(name)
    file = DonorFile(
        name,
        header.size,
        header.digest,
        str(path.absolute()) if path else None,
        header.stamp,
        header.data_start,
    )
    anchor = repository.find_path(CONFIG_FILE)
    tensors = {
        tensor.spec.name: DonorTensor(tensor.spec, Part.HEAD, "adapter", extent=Extent(0, tensor.begin, tensor.nbytes))
        for tensor in header.tensors
    }
    return Donor(
        name=spec.name,
        source=str(spec.source),
        config={},
        architecture=_NO_FAMILY,
        depth=0,
        tensors=tensors,
        files=(file,),
        revision=repository.revision,
        anchor=str(anchor.absolute()) if anchor else None,
    )


def _read_header(repository: Repository) -> tuple[str, Header]:
    """The name of the file with an adapter's weights, and its header."""
    names = repository.list_names()
    name = names[0] if is_gguf(repository) else WEIGHTS_FILE
    if name in names:
        return name, repository.read_header(name)
    if any(name in names for name in _PICKLED):
        message = "this adapter has only pickled weights, which can run code when they are opened"
        raise DonorError.of(message, "load it with peft, and `save_pretrained` it", Mark(repository.source))
    hint = "an adapter is a folder or hub id with adapter_config.json and adapter_model.safetensors, as peft saves them"
    raise DonorError.of(f"there is no {WEIGHTS_FILE} in this adapter", hint, Mark(repository.source))


def is_gguf(repository: Repository) -> bool:
    """Whether what was opened is one GGUF file."""
    return isinstance(repository, SelectedFiles)


def _read_gguf_adapter(place: DonorSpec, weight: float, donor: Donor, folder: Path, dialect: Dialect) -> Adapter:
    repository = open_donor(place, folder, dialect)
    _, header = _read_header(repository)
    assert isinstance(header, GgufHeader)
    if donor.container != "gguf":
        message = f"this adapter is a GGUF file, and donor '{donor.name}' is not"
        raise DonorError.of(message, "use the adapter as peft saved it, or the donor as a GGUF file", place.mark)
    entries = {entry.key: entry.value for entry in header.entries}
    config = parse_gguf_adapter(entries, donor.config.get("general.architecture"), repository.source)
    stored = read_stored_adapter(place, folder, dialect)
    return Adapter(stored, config, group_gguf_tensors(stored.tensors, repository.source), weight)


def _read_adapter(name: str, spec: AdapterSpec, donor: Donor, folder: Path, dialect: Dialect) -> Adapter:
    place = DonorSpec(name, spec.source, spec.revision, mark=spec.mark)
    repository = open_donor(place, folder, dialect)
    if is_gguf(repository):
        return _read_gguf_adapter(place, spec.weight, donor, folder, dialect)
    where = mark_file(repository, CONFIG_FILE).source
    content = parse_object(repository.read(CONFIG_FILE, MAX_JSON_BYTES), where)
    config, warnings = parse_adapter_config(content, where)
    stored = read_stored_adapter(place, folder, dialect)
    modules = group_adapter_tensors(stored.tensors, mark_file(repository, WEIGHTS_FILE).source)
    found = (*warnings, *_check_base(config.base, donor, Mark(where)))
    return Adapter(stored, config, modules, spec.weight, found)


def _check_base(base: str, donor: Donor, mark: Mark) -> Iterator[Problem]:
    """Warn if an adapter says that its base is another one than the donor.

    Only the last part of a path or hub id is compared, since the same model is called differently in different places.
    A donor in a folder may have any name, so that the message about it is only a note.
    """
    known = (donor.source, str(donor.config.get("_name_or_path", "")))
    if not base or any(_last_part(base) == _last_part(name) for name in known):
        return
    severity = Severity.WARNING if donor.revision else Severity.NOTE
    message = (
        f"this adapter was trained on '{escape_text(base)}', and donor '{donor.name}' is {escape_text(donor.source)}"
    )
    yield Problem(message, "if these are different models, the result is noise", mark, severity, Blame.DONOR)


def _last_part(source: str) -> str:
    return source.rstrip("/").rpartition("/")[2].casefold()
