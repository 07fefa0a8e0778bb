"""Tokenizers as their files say them: tokens read, added ones written, chat templates put in place.

Which token gets which row is for `core.vocabulary`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from stacker.core.stack.graph import StackGraph
from stacker.core.tokens.common_rows import cut_to_common_rows
from stacker.core.tokens.vocabulary import Tokens, Vocabulary, in_rows, make_vocabulary
from stacker.core.values.donor import Donor, SideFile
from stacker.errors import Blame, DonorError, Mark, Problem, Severity, StackerError, raise_problems, select_errors
from stacker.formats.json_object import Json, format_json, parse_object
from stacker.io.donors.side_files import CODE, SETTINGS, read_side_file
from stacker.spec.language.stack_spec import Dialect, StackSpec

_TOKENIZER = "tokenizer.json"
_ADDED = "added_tokens.json"
_DECODER = "added_tokens_decoder"
_OTHER_VOCABULARIES = re.compile(r"(tokenizer|spiece|sentencepiece[\w.]*)\.model(\.v\d+)?|tekken\.json")
_TEMPLATE = "chat_template.jinja"
_OTHER_TEMPLATES = ("chat_template.jinja", "chat_template.json")
_PLAIN = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}


def apply_tokenizer(
    spec: StackSpec, graph: StackGraph, donors: Mapping[str, Donor]
) -> tuple[dict[str, Donor], tuple[Problem, ...]]:
    """The donors with what the spec asks of the tokenizer, and what is wrong with it.

    Rows of embedding and head follow its tokens, its files say the new ones and the chat template. DonorError when a
    tokenizer that is needed cannot be read.
    """
    chosen = graph.tokenizer
    problems = [*_code_in(donors[chosen])]
    if spec.vocabulary is not None:
        tokens = _read_all(donors)
        vocabulary = make_vocabulary(spec.vocabulary, chosen, donors, tokens)
        problems += vocabulary.problems
        if not select_errors(problems):
            donors, more = in_rows(vocabulary, spec.vocabulary, spec.base or chosen, donors, tokens)
            problems += (*more, *_left_out(donors[chosen], vocabulary))
            donors = {**donors, chosen: _with_tokens(donors[chosen], vocabulary)}
    elif spec.dialect is Dialect.MERGEKIT:
        donors, more = cut_to_common_rows(graph, donors)
        problems += more
    if spec.chat_template is not None:
        donors = {**donors, chosen: _with_template(donors[chosen], spec.chat_template)}
    return dict(donors), tuple(problems)


def _read_all(donors: Mapping[str, Donor]) -> dict[str, Tokens]:
    """The tokens of every donor; what is wrong with all of them is raised together."""
    found: dict[str, Tokens] = {}
    problems: list[Problem] = []
    for name, donor in donors.items():
        try:
            found[name] = read_tokens(donor)
        except StackerError as error:
            problems += error.problems
    raise_problems(problems)
    return found


def read_tokens(donor: Donor) -> Tokens:
    """The tokens of a donor's tokenizer.json; DonorError when there is none, or it is no tokenizer."""
    content = parse_object(read_side_file(_tokenizer_of(donor)), f"{donor.source}/{_TOKENIZER}")
    try:
        return _tokens_in(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        mark = Mark(f"{donor.source}/{_TOKENIZER}")
        raise DonorError.of(
            "this is no tokenizer that is known here", "save it again with transformers", mark
        ) from error


def _tokens_in(content: Mapping[str, Any]) -> Tokens:
    vocabulary = content["model"]["vocab"]
    if isinstance(vocabulary, list):
        vocabulary = {piece[0]: number for number, piece in enumerate(vocabulary)}
    added = {str(entry["content"]): entry for entry in content.get("added_tokens") or ()}
    ids = {str(token): int(number) for token, number in vocabulary.items()}
    return Tokens({**ids, **{token: int(entry["id"]) for token, entry in added.items()}}, added)


def _tokenizer_of(donor: Donor) -> SideFile:
    found = next((file for file in donor.side_files if file.name == _TOKENIZER), None)
    if found is None:
        message = f"donor '{donor.name}' has no {_TOKENIZER}, so that its rows cannot be told apart"
        hint = "save its tokenizer with transformers (AutoTokenizer, save_pretrained), or carry a tokenizer as it is"
        raise DonorError.of(message, hint, Mark(donor.source))
    return found


def _with_tokens(donor: Donor, vocabulary: Vocabulary) -> Donor:
    """The donor with the new tokens in its tokenizer.json, and in the older files that list added tokens.

    A file that only holds the base vocabulary in another form goes: programs that prefer it would miss them.
    """
    if not vocabulary.new:
        return donor
    content = parse_object(read_side_file(_tokenizer_of(donor)), _TOKENIZER)
    listed = content.get("added_tokens")
    known = listed if isinstance(listed, list) else []
    content["added_tokens"] = [*known, *({**_PLAIN, **entry} for entry in vocabulary.new)]
    kept = tuple(file for file in donor.side_files if not _OTHER_VOCABULARIES.fullmatch(file.name))
    files = {_TOKENIZER: format_json(content), **_in_older_files(donor, vocabulary)}
    return _with_files(replace(donor, side_files=kept), files)


def _in_older_files(donor: Donor, vocabulary: Vocabulary) -> dict[str, bytes]:
    """The donor's own lists of added tokens, with the new ones."""
    found: dict[str, bytes] = {}
    for file in donor.side_files:
        if file.name == _ADDED:
            ids = {str(entry["content"]): entry["id"] for entry in vocabulary.new}
            found[file.name] = format_json({**parse_object(read_side_file(file), file.name), **ids})
        elif file.name == SETTINGS:
            content = parse_object(read_side_file(file), file.name)
            listed = content.get(_DECODER)
            if isinstance(listed, dict):
                content[_DECODER] = {**listed, **{str(entry["id"]): _flags(entry) for entry in vocabulary.new}}
                found[file.name] = format_json(content)
    return found


def _flags(entry: Mapping[str, Json]) -> dict[str, Json]:
    """An added token as tokenizer_config.json has it: the number is its key there."""
    return {key: value for key, value in {**_PLAIN, **entry}.items() if key != "id"}


def _left_out(donor: Donor, vocabulary: Vocabulary) -> Iterator[Problem]:
    for file in donor.side_files:
        if vocabulary.new and _OTHER_VOCABULARIES.fullmatch(file.name):
            message = f"{file.name} of '{donor.name}' does not have the new tokens; it is left out"
            yield Problem(message, f"{_TOKENIZER} has them all", severity=Severity.NOTE, blame=Blame.DONOR)


def _with_template(donor: Donor, template: str) -> Donor:
    """The donor with another chat template, in the one place where it is looked for first, and no other."""
    files = {_TEMPLATE: template.encode()}
    settings = next((file for file in donor.side_files if file.name == SETTINGS), None)
    if settings:
        content = parse_object(read_side_file(settings), SETTINGS)
        files[SETTINGS] = format_json({key: value for key, value in content.items() if key != "chat_template"})
    kept = tuple(file for file in donor.side_files if file.name not in _OTHER_TEMPLATES)
    return _with_files(replace(donor, side_files=kept), files)


def _with_files(donor: Donor, files: Mapping[str, bytes]) -> Donor:
    """The donor with these side files, in the place of those of their names."""
    kept = tuple(file for file in donor.side_files if file.name not in files)
    return replace(donor, side_files=(*kept, *(SideFile(name, "", data=data) for name, data in files.items())))


def _code_in(donor: Donor) -> Iterator[Problem]:
    """A warning where a tokenizer asks for code of its own; one that is not here yet is cleaned without."""
    for file in donor.side_files:
        if file.name == SETTINGS and file.path and Path(file.path).is_file() and CODE.encode() in read_side_file(file):
            message = f"{SETTINGS} of '{donor.name}' has '{CODE}', which can run code; it is left out"
            hint = "the tokenizer loads where the program itself knows its class"
            yield Problem(message, hint, severity=Severity.WARNING, blame=Blame.UNSAFE)
