"""Selects the files beside the weights that a stack carries, each kind from one donor, and lists those left behind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from stacker.core.side_files.kinds import Kind, SideFileRule, explain_left_behind, find_rule
from stacker.core.stack.graph import StackGraph
from stacker.core.values.donor import Donor, SideFile, collect_donors
from stacker.errors import Blame, Problem, Severity


@dataclass(frozen=True, slots=True)
class CarriedFile:
    """A side file that a stack takes from a donor, with the row of the table for files of that name."""

    donor: str
    file: SideFile
    rule: SideFileRule


@dataclass(frozen=True, slots=True)
class LeftFile:
    """A file of a donor that the stack does not carry; `reason` says why not."""

    donor: str
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class SideFiles:
    """The side files of a stack, and the donors' files that are left behind, except the files of the weights."""

    carried: tuple[CarriedFile, ...]
    left: tuple[LeftFile, ...]


def find_source_donors(graph: StackGraph) -> dict[Kind, str]:
    """The name of the donor from which the stack takes the side files of each kind.

    Processors come with the embedding, as towers do. Modules that pool the last hidden states come with the head.
    """
    return {
        Kind.TOKENIZER: graph.tokenizer,
        Kind.LICENCE: graph.tokenizer,
        Kind.PROCESSOR: graph.embed.feeds[0].donor,
        Kind.GENERATION: graph.template,
        Kind.QUANTIZATION: graph.template,
        Kind.POOLING: graph.head.feeds[0].donor,
    }


def select_side_files(graph: StackGraph, donors: Mapping[str, Donor]) -> SideFiles:
    """Select the side files of a stack; a donor that is itself a stack gives those that it carries."""
    sources = find_source_donors(graph)
    carried = tuple(
        CarriedFile(donor.name, file, rule)
        for donor in donors.values()
        for file in donor.side_files
        if (rule := find_rule(file.name)) and sources[rule.kind] == donor.name
    )
    taken = {_identify(each.file) for each in carried}
    known = collect_donors(donors).values()
    left = (each for donor in known if not donor.is_stack for each in _list_left(donor, sources, taken))
    return SideFiles(carried, tuple(left))


def check_modules(files: SideFiles) -> Iterator[Problem]:
    """Warn about sentence-transformers modules whose weights are left behind because they are pickled."""
    folders = {each.file.name.rpartition("/")[0]: each.donor for each in files.carried if "/" in each.file.name}
    weights = {each.file.name.rpartition("/")[0] for each in files.carried if each.file.name.endswith(".safetensors")}
    for each in files.left:
        folder, _, name = each.name.rpartition("/")
        if name == "pytorch_model.bin" and folders.get(folder) == each.donor and folder not in weights:
            message = f"{each.name} of '{each.donor}' is left out, because opening pickled weights can run code"
            hint = "sentence-transformers needs them: save the donor with it again, as safetensors"
            yield Problem(message, hint, severity=Severity.WARNING, blame=Blame.DONOR)


def _identify(file: SideFile) -> tuple[str, str, str]:
    return file.name, file.path, file.source


def _list_left(donor: Donor, sources: Mapping[Kind, str], taken: set[tuple[str, str, str]]) -> Iterator[LeftFile]:
    for file in donor.side_files:
        rule = find_rule(file.name)
        if rule and _identify(file) not in taken:
            source = sources[rule.kind]
            reason = (
                "replaced or outdated" if source == donor.name else f"such files ({rule.kind}) come from '{source}'"
            )
            yield LeftFile(donor.name, file.name, reason)
    for name in donor.other_files:
        yield LeftFile(donor.name, name, explain_left_behind(name))
