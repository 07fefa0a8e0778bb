"""Finds the highest token id in the files of a tokenizer, and checks that the embedding has a row for it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from stacker.core.stack.graph import StackGraph
from stacker.core.tokens.tokenizer_files import ADDED, DECODER, TOKENIZER, TOKENIZER_CONFIG, parse_id, take_tokens
from stacker.core.tokens.vocabulary import count_rows
from stacker.core.values.donor import Donor
from stacker.core.values.expression import Rows
from stacker.errors import Blame, DonorError, Mark, Problem, Severity, escape_text
from stacker.formats.json_object import parse_object
from stacker.spec.language.stack_spec import Dialect, StackSpec

HighestIds = dict[str, tuple[str, int]]
"""For each file of a tokenizer, by name, the token with the highest id and that id."""
_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+"(?:\s*+:\s*+([^\s"\[{,}\]]++))?')
"""Matches each string of a JSON text; group 1 is the value behind a key, if it is no string, list or object."""
_CONSTANTS = (b"", b"null", b"true", b"false")
_BEGINNING = 100_000
"""How many bytes of a file are looked at first; a vocabulary far larger than the embedding is noticed there."""
_LIST_OF_PIECES = re.compile(rb'"vocab"\s*:\s*[^\s{\d]')
"""Matches a vocabulary that is no object; a number is the id of the token "vocab"."""
_RANKS = re.compile(r"[\w.-]+\.tiktoken")
_LISTS = re.compile(r"(tokenizer|tokenizer_config|added_tokens|vocab)\.json|[\w.-]+\.tiktoken")


def lists_ids(name: str) -> bool:
    """Whether `find_highest_id` knows the format of a file with this name."""
    return bool(_LISTS.fullmatch(name))


def find_highest_id(name: str, data: bytes, where: str, rows: int = 0) -> tuple[str, int] | None:
    """The token with the highest id in the tokenizer file `name`, and that id; None if all ids are below `rows`.

    `where` names the file in messages; DonorError if an id is not an integer from 0 to 2³¹ - 1.
    """
    if name == TOKENIZER:
        if rows and _is_surely_below(data, rows):
            return None
        content = parse_object(data, where)
        known = "model" in content  # else the format is unknown, and the file is only copied
        ids = take_tokens(content, where).ids if known else {}
        token = max(ids, key=ids.__getitem__, default="")
        return (token, ids[token]) if ids else None
    try:
        if _RANKS.fullmatch(name):
            return max(_list_ranks(data), key=_id_of, default=None)
        listed = _list_ids(name, parse_object(data, where)) if lists_ids(name) else ()
        return max(listed, key=_id_of, default=None)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        message = f"this is not a list of tokens: {escape_text(str(error))}"
        raise DonorError.of(message, "save the tokenizer again with transformers", Mark(where)) from error


def _is_surely_below(data: bytes, rows: int) -> bool:
    """Whether a quick look at the bytes of a tokenizer.json shows that all its ids are integers below `rows`.

    False means that the file must be parsed, which takes a second and 200 MB for the largest vocabularies.
    """
    if _LIST_OF_PIECES.search(data) or not (data.lstrip().startswith(b"{") and data.rstrip().endswith(b"}")):
        return False
    return _are_below(data[:_BEGINNING], rows) and _are_below(data, rows)


def _are_below(text: bytes, rows: int) -> bool:
    words = set(_STRINGS.findall(text)).difference(_CONSTANTS)
    return all(word.isdigit() and len(word) < 10 and int(word) < rows for word in words)


def _id_of(item: tuple[str, int]) -> int:
    return item[1]


def _list_ids(name: str, content: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield (token, id) for each token in the JSON files besides tokenizer.json that list ids."""
    if name == TOKENIZER_CONFIG:
        for number, entry in (content.get(DECODER) or {}).items():
            yield str(entry["content"] if isinstance(entry, dict) else entry), parse_id(entry, int(number))
    elif name == ADDED or not any(isinstance(number, dict) for number in content.values()):
        yield from ((token, parse_id(token, number)) for token, number in content.items())


def _list_ranks(data: bytes) -> Iterator[tuple[str, int]]:
    """Yield (token in base64, rank) for each line of a tiktoken file."""
    for line in data.splitlines():
        token, _, rank = line.partition(b" ")
        if rank:
            yield token.decode("ascii"), parse_id(token, int(rank[:20]))


def check_ids(
    spec: StackSpec, graph: StackGraph, donors: Mapping[str, Donor], highest: HighestIds
) -> Iterator[Problem]:
    """Report the highest token id of the tokenizer's files if the embedding of the stack has no row for it."""
    donor = donors[graph.embed.feeds[0].donor]
    name, (token, number) = max(highest.items(), key=lambda item: item[1][1], default=("", ("", -1)))
    rows = count_rows(donor)
    if number < rows or not rows or donor.quantized:
        return
    message = (
        f"{name} of '{graph.tokenizer}' has ids up to {number:,} ({escape_text(repr(token), 40)}), "
        f"but the embedding of '{donor.name}' has {rows:,} rows"
    )
    hint = _suggest_remedy(spec, graph.tokenizer, donor.name)
    severity = Severity.WARNING if donor.architecture.inferred or _was_cut(spec, donor) else Severity.ERROR
    yield Problem(message, hint, spec.mark_of("tokenizer"), severity, Blame.SPEC)


def _was_cut(spec: StackSpec, donor: Donor) -> bool:
    """Whether the embedding lacks rows because it was cut to the donors' common rows, as mergekit does."""
    tables = (tensor for tensor in donor.tensors.values() if tensor.role == "embed")
    return spec.dialect is Dialect.MERGEKIT and any(isinstance(table.expression, Rows) for table in tables)


def _suggest_remedy(spec: StackSpec, tokenizer: str, embedding: str) -> str:
    if spec.vocabulary is not None:
        return f"rows follow {TOKENIZER}, which differs from this file: save the tokenizer again with transformers"
    if spec.dialect is Dialect.MERGEKIT:
        return "with `tokenizer_source: union` (or `base`), rows are matched by token, and every token has one"
    add = f"`tokenizer: {{source: {tokenizer}}}` gives every token a row"
    return add if tokenizer == embedding else f"{add}; `tokenizer: {embedding}` keeps the tokenizer of the embedding"
