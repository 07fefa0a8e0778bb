"""Reads the tokens of all donors, and the tokenizer files of the donor whose tokenizer the stack uses."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from stacker.core.stack.graph import StackGraph
from stacker.core.tokens.tokenizer_files import ADDED, TOKENIZER, TOKENIZER_CONFIG, Tokenizers, parse_tokens
from stacker.core.tokens.vocabulary import Tokens
from stacker.core.values.donor import Donor, SideFile
from stacker.errors import DonorError, Mark, Problem, StackerError, raise_problems
from stacker.io.donors.side_files import find_version, read_side_file
from stacker.spec.language.stack_spec import StackSpec


def read_tokenizers(spec: StackSpec, graph: StackGraph, donors: Mapping[str, Donor]) -> Tokenizers:
    """Read the tokens and tokenizer files that are needed to change the vocabulary or the chat template.

    Tokens of all donors are read if the spec changes the vocabulary; tokenizer files are read from the donor whose
    tokenizer the stack uses. DonorError when a needed file cannot be read.
    """
    needed = {TOKENIZER, ADDED, TOKENIZER_CONFIG} if spec.vocabulary else set[str]()
    needed |= {TOKENIZER_CONFIG} if spec.chat_template is not None else set()
    tokens = _read_all_tokens(donors) if spec.vocabulary else {}
    files = {file.name: read_side_file(file) for file in donors[graph.tokenizer].side_files if file.name in needed}
    return Tokenizers(tokens, files)


def _read_all_tokens(donors: Mapping[str, Donor]) -> dict[str, Tokens]:
    tokens: dict[str, Tokens] = {}
    problems: list[Problem] = []
    for name, donor in donors.items():
        try:
            file, where = _find_tokenizer(donor), f"{donor.source}/{TOKENIZER}"
            stored = file.path and file.data is None
            tokens[name] = _parse_stored(file, find_version(file), where) if stored else _parse(file, where)
        except StackerError as error:
            problems += error.problems
    raise_problems(problems)
    return tokens


@lru_cache(maxsize=8)
def _parse_stored(file: SideFile, version: object, where: str) -> Tokens:
    """Parse one version of a stored tokenizer, once for all stacks that use it, such as those of a search."""
    del version
    return _parse(file, where)


def _parse(file: SideFile, where: str) -> Tokens:
    return parse_tokens(read_side_file(file), where)


def _find_tokenizer(donor: Donor) -> SideFile:
    file = next((file for file in donor.side_files if file.name == TOKENIZER), None)
    if file is None:
        message = f"donor '{donor.name}' has no {TOKENIZER}, which names the token of each row"
        hint = "save its tokenizer with transformers, or use one donor's as it is: `tokenizer: <donor>`"
        raise DonorError.of(message, hint, Mark(donor.source))
    return file
