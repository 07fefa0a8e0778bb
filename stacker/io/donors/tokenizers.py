"""Reads the tokens of tokenizer files, and writes added tokens and chat templates into them.

`core.tokens.vocabulary` decides which row each token gets.
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
from stacker.io.donors.side_files import CODE_KEY, TOKENIZER_CONFIG, read_side_file
from stacker.spec.language.stack_spec import Dialect, StackSpec

_TOKENIZER = "tokenizer.json"
_ADDED_TOKENS = "added_tokens.json"
_DECODER = "added_tokens_decoder"
_OTHER_VOCABULARIES = re.compile(r"(tokenizer|spiece|sentencepiece[\w.]*)\.model(\.v\d+)?|tekken\.json")
_TEMPLATE = "chat_template.jinja"
_OTHER_TEMPLATES = ("chat_template.jinja", "chat_template.json")
_DEFAULT_FLAGS = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}


def apply_tokenizer(
    spec: StackSpec, graph: StackGraph, donors: Mapping[str, Donor]
) -> tuple[dict[str, Donor], tuple[Problem, ...]]:
    """Donors rewritten for the stack's tokenizer, with the problems found.

    Reorders the rows of embedding and head, and writes new tokens and the chat template into its files. DonorError when
    a tokenizer cannot be read.
    """
    chosen = graph.tokenizer
    problems = [*_check_code(donors[chosen])]
    if spec.vocabulary is not None:
        tokens = _read_all_tokens(donors)
        vocabulary = make_vocabulary(spec.vocabulary, chosen, donors, tokens)
        problems += vocabulary.problems
        if not select_errors(problems):
            donors, more = in_rows(vocabulary, spec.vocabulary, spec.base or chosen, donors, tokens)
            problems += (*more, *_note_left_out(donors[chosen], vocabulary))
            donors = {**donors, chosen: _add_tokens(donors[chosen], vocabulary)}
    elif spec.dialect is Dialect.MERGEKIT:
        donors, more = cut_to_common_rows(graph, donors)
        problems += more
    if spec.chat_template is not None:
        donors = {**donors, chosen: _set_template(donors[chosen], spec.chat_template)}
    return dict(donors), tuple(problems)


def _read_all_tokens(donors: Mapping[str, Donor]) -> dict[str, Tokens]:
    """The tokens of every donor; the problems of all are raised together."""
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
    """The tokens of a donor's tokenizer.json; DonorError when it is missing or malformed."""
    content = parse_object(read_side_file(_find_tokenizer(donor)), f"{donor.source}/{_TOKENIZER}")
    try:
        return _parse_tokens(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        mark = Mark(f"{donor.source}/{_TOKENIZER}")
        raise DonorError.of(
            "this is not a tokenizer that stacker can read", "save it again with transformers", mark
        ) from error


def _parse_tokens(content: Mapping[str, Any]) -> Tokens:
    vocabulary = content["model"]["vocab"]
    if isinstance(vocabulary, list):
        vocabulary = {piece[0]: number for number, piece in enumerate(vocabulary)}
    added = {str(entry["content"]): entry for entry in content.get("added_tokens") or ()}
    ids = {str(token): int(number) for token, number in vocabulary.items()}
    return Tokens({**ids, **{token: int(entry["id"]) for token, entry in added.items()}}, added)


def _find_tokenizer(donor: Donor) -> SideFile:
    found = next((file for file in donor.side_files if file.name == _TOKENIZER), None)
    if found is None:
        message = f"donor '{donor.name}' has no {_TOKENIZER}, which says what token each row belongs to"
        hint = "save its tokenizer with transformers (AutoTokenizer, save_pretrained), or keep a tokenizer unchanged"
        raise DonorError.of(message, hint, Mark(donor.source))
    return found


def _add_tokens(donor: Donor, vocabulary: Vocabulary) -> Donor:
    """The donor with the new tokens in its tokenizer.json, and in the older files that list added tokens.

    Files with only the base vocabulary are left out, because programs that prefer them would miss the new tokens.
    """
    if not vocabulary.new:
        return donor
    content = parse_object(read_side_file(_find_tokenizer(donor)), _TOKENIZER)
    listed = content.get("added_tokens")
    known = listed if isinstance(listed, list) else []
    content["added_tokens"] = [*known, *({**_DEFAULT_FLAGS, **entry} for entry in vocabulary.new)]
    kept = tuple(file for file in donor.side_files if not _OTHER_VOCABULARIES.fullmatch(file.name))
    files = {_TOKENIZER: format_json(content), **_update_older_files(donor, vocabulary)}
    return _replace_side_files(replace(donor, side_files=kept), files)


def _update_older_files(donor: Donor, vocabulary: Vocabulary) -> dict[str, bytes]:
    """The new contents, by name, of the older files that list added tokens."""
    found: dict[str, bytes] = {}
    for file in donor.side_files:
        if file.name == _ADDED_TOKENS:
            ids = {str(entry["content"]): entry["id"] for entry in vocabulary.new}
            found[file.name] = format_json({**parse_object(read_side_file(file), file.name), **ids})
        elif file.name == TOKENIZER_CONFIG:
            content = parse_object(read_side_file(file), file.name)
            listed = content.get(_DECODER)
            if isinstance(listed, dict):
                content[_DECODER] = {**listed, **{str(entry["id"]): _without_id(entry) for entry in vocabulary.new}}
                found[file.name] = format_json(content)
    return found


def _without_id(entry: Mapping[str, Json]) -> dict[str, Json]:
    """An added token as tokenizer_config.json writes it, where the id is the key."""
    return {key: value for key, value in {**_DEFAULT_FLAGS, **entry}.items() if key != "id"}


def _note_left_out(donor: Donor, vocabulary: Vocabulary) -> Iterator[Problem]:
    """A note for each vocabulary file that lacks the new tokens."""
    for file in donor.side_files:
        if vocabulary.new and _OTHER_VOCABULARIES.fullmatch(file.name):
            message = f"{file.name} of '{donor.name}' lacks the new tokens; it is left out"
            yield Problem(message, f"{_TOKENIZER} has them all", severity=Severity.NOTE, blame=Blame.DONOR)


def _set_template(donor: Donor, template: str) -> Donor:
    """The donor with `template` as its only chat template, in the file that transformers reads first."""
    files = {_TEMPLATE: template.encode()}
    settings = next((file for file in donor.side_files if file.name == TOKENIZER_CONFIG), None)
    if settings:
        content = parse_object(read_side_file(settings), TOKENIZER_CONFIG)
        files[TOKENIZER_CONFIG] = format_json({key: value for key, value in content.items() if key != "chat_template"})
    kept = tuple(file for file in donor.side_files if file.name not in _OTHER_TEMPLATES)
    return _replace_side_files(replace(donor, side_files=kept), files)


def _replace_side_files(donor: Donor, files: Mapping[str, bytes]) -> Donor:
    """The donor with `files` (contents by name) in place of its side files of the same names."""
    kept = tuple(file for file in donor.side_files if file.name not in files)
    return replace(donor, side_files=(*kept, *(SideFile(name, "", data=data) for name, data in files.items())))


def _check_code(donor: Donor) -> Iterator[Problem]:
    """A warning where a local tokenizer config names code to run; one on the hub is cleaned without a warning."""
    for file in donor.side_files:
        if file.name != TOKENIZER_CONFIG or not file.path or not Path(file.path).is_file():
            continue
        if CODE_KEY.encode() in read_side_file(file):
            message = f"{TOKENIZER_CONFIG} of '{donor.name}' has '{CODE_KEY}', which can run code; it is left out"
            hint = "the tokenizer loads where the program itself knows its class"
            yield Problem(message, hint, severity=Severity.WARNING, blame=Blame.UNSAFE)
