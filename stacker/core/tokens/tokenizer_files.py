"""Reads and changes the files of a tokenizer: parses tokens, adds new tokens, replaces the chat template."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from stacker.core.tokens.vocabulary import Tokens
from stacker.core.values.donor import Donor, SideFile
from stacker.errors import Blame, DonorError, Mark, Problem, Severity, escape_text
from stacker.formats.json_object import MANY_VALUES, Json, format_json, parse_object
from stacker.formats.tokenizer_json import ListedTokens, parse_tokenizer

TOKENIZER = "tokenizer.json"
ADDED = "added_tokens.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
DECODER = "added_tokens_decoder"
_OTHER_VOCABULARIES = re.compile(r"[\w.-]+\.(model(\.v\w+)?|tiktoken|spm)|tekken\.json")
_TEMPLATE = "chat_template.jinja"
_OTHER_TEMPLATES = re.compile(r"chat_template\.(jinja|json)|(additional_)?chat_templates/.*")
_PLAIN = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}


@dataclass(frozen=True, slots=True)
class Tokenizers:
    """The tokens of each donor, by donor name, and the bytes of the tokenizer files that may change, by file name.

    `tokens` is empty if the spec does not ask to reorder embedding rows by token.
    """

    tokens: Mapping[str, Tokens]
    files: Mapping[str, bytes]


def parse_tokens(data: bytes, where: str) -> Tokens:
    """Parse the tokens in the bytes of a tokenizer.json; `where` names the file in error messages.

    Raises DonorError if there are no tokens.
    """
    listed = parse_tokenizer(data, where)
    if listed is None:
        message = "this is not a tokenizer in a format that stacker knows: it has no `model`"
        raise DonorError.of(message, "save the tokenizer again with transformers", Mark(where))
    return take_tokens(listed, where)


def take_tokens(listed: ListedTokens, where: str) -> Tokens:
    """Take the tokens from the lists of a tokenizer.json, whose added tokens replace others of the same text.

    `where` names the file in messages; DonorError if an added token has no text or no sound id.
    """
    try:
        added = {str(entry["content"]): entry for entry in listed.added}
        ids = listed.vocabulary | {token: parse_id(token, entry["id"]) for token, entry in added.items()}
    except (LookupError, ValueError) as error:
        message = f"this is not a list of added tokens: {escape_text(str(error))}"
        raise DonorError.of(message, "save the tokenizer again with transformers", Mark(where)) from error
    return Tokens(ids, added)


def parse_id(token: object, number: object) -> int:
    """The id of a token as an int; ValueError if it is anything else than an integer from 0 to 2³¹ - 1."""
    if type(number) is not int or not 0 <= number < 1 << 31:
        raise ValueError(f"the id of {escape_text(repr(token), 40)} is {escape_text(repr(number), 40)}")
    return number


def add_tokens(
    donor: Donor, new: tuple[Mapping[str, Json], ...], files: Mapping[str, bytes]
) -> tuple[Donor, tuple[Problem, ...]]:
    """Add the `new` tokens to the donor's tokenizer.json, added_tokens.json and tokenizer_config.json.

    Files that hold the base vocabulary in another format are removed with a note, since programs that prefer these
    files would miss the new tokens.
    """
    if not new:
        return donor, ()
    changed = {name: format_json(content) for name, content in _with_tokens(new, files)}
    dropped = [file.name for file in donor.side_files if _OTHER_VOCABULARIES.fullmatch(file.name)]
    problems = tuple(
        Problem(
            f"{name} of '{donor.name}' does not have the new tokens; it is left out",
            f"{TOKENIZER} has them all",
            severity=Severity.NOTE,
            blame=Blame.DONOR,
        )
        for name in dropped
    )
    return _with_files(donor, changed, dropped), problems


def _with_tokens(
    new: tuple[Mapping[str, Json], ...], files: Mapping[str, bytes]
) -> Iterator[tuple[str, dict[str, Json]]]:
    """Yield (name, new content) of each file that lists added tokens; the new content includes the `new` tokens."""
    for name, data in files.items():
        content = parse_object(data, name, MANY_VALUES)
        if name == TOKENIZER:
            listed = content.get("added_tokens")
            entries = [{**_PLAIN, **entry} for entry in new]
            yield name, {**content, "added_tokens": [*(listed if isinstance(listed, list) else ()), *entries]}
        elif name == ADDED:
            yield name, {**content, **{str(entry["content"]): entry["id"] for entry in new}}
        elif isinstance(decoder := content.get(DECODER), dict):
            yield name, {**content, DECODER: {**decoder, **{str(entry["id"]): _flags(entry) for entry in new}}}


def _flags(entry: Mapping[str, Json]) -> dict[str, Json]:
    """The entry for an added token in tokenizer_config.json; it has no id, because there the id is the entry's key."""
    return {key: value for key, value in {**_PLAIN, **entry}.items() if key != "id"}


def replace_template(donor: Donor, template: str, files: Mapping[str, bytes]) -> Donor:
    """A copy of the donor whose only chat template is `template`, in the file chat_template.jinja.

    transformers reads this file before any other chat template.
    """
    own = next((file.data for file in donor.side_files if file.name == TOKENIZER_CONFIG), None) or files.get(
        TOKENIZER_CONFIG
    )
    changed = {_TEMPLATE: template.encode()}
    if own is not None:
        content = parse_object(own, TOKENIZER_CONFIG)
        changed[TOKENIZER_CONFIG] = format_json(
            {key: value for key, value in content.items() if key != "chat_template"}
        )
    dropped = [file.name for file in donor.side_files if _OTHER_TEMPLATES.fullmatch(file.name)]
    return _with_files(donor, changed, dropped)


def _with_files(donor: Donor, files: Mapping[str, bytes], dropped: Collection[str] = ()) -> Donor:
    """A copy of the donor with `files` (contents by name) added to its side files.

    New contents replace old ones of the same name, and the side files named in `dropped` are removed.
    """
    own = {file.name: file for file in donor.side_files}
    kept = tuple(file for file in donor.side_files if file.name not in files and file.name not in dropped)
    changed = (replace(own.get(name, SideFile(name, "")), data=data) for name, data in files.items())
    return replace(donor, side_files=(*kept, *changed))
