"""Finds the highest token id in the files of a tokenizer, and checks that the embedding has a row for it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from stacker.core.stack.graph import StackGraph
from stacker.core.tokens.tokenizer_files import ADDED, DECODER, TOKENIZER, parse_id, take_tokens
from stacker.core.tokens.vocabulary import count_rows
from stacker.core.values.donor import Donor
from stacker.core.values.expression import Rows
from stacker.errors import Blame, DonorError, Mark, Problem, Severity, escape_text
from stacker.formats.json_object import parse_object
from stacker.formats.tokenizer_json import MOST_TOKENS, parse_ids, parse_tokenizer
from stacker.spec.language.stack_spec import Dialect, StackSpec

HighestIds = dict[str, tuple[str, int]]
"""For each file of a tokenizer, by name, the token with the highest id and that id."""
_VOCABULARY = "vocab.json"
_RANKS = re.compile(r"[\w.-]+\.tiktoken")
_LISTS = re.compile(r"(tokenizer|tokenizer_config|added_tokens|vocab)\.json|[\w.-]+\.tiktoken")


def lists_ids(name: str) -> bool:
    """Whether `find_highest_id` knows the format of a file with this name."""
    return bool(_LISTS.fullmatch(name))


def find_highest_id(name: str, data: bytes, where: str) -> tuple[str, int] | None:
    """The token with the highest id in the tokenizer file `name`, and that id; None if it lists no ids.

    `where` names the file in messages; DonorError if an id is not an integer from 0 to 2³¹ - 1.
    """
    if name == TOKENIZER:
        listed = parse_tokenizer(data, where)
        return _find_highest(take_tokens(listed, where).ids) if listed else None  # other formats are only copied
    if name in (ADDED, _VOCABULARY):
        return _find_highest(parse_ids(data, where))
    try:
        if _RANKS.fullmatch(name):
            return max(_list_ranks(data), key=_id_of, default=None)
        return max(_list_decoded(parse_object(data, where)), key=_id_of, default=None) if lists_ids(name) else None
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        message = f"this is not a list of tokens: {escape_text(str(error))}"
        raise DonorError.of(message, "save the tokenizer again with transformers", Mark(where)) from error


def _id_of(item: tuple[str, int]) -> int:
    return item[1]


def _find_highest(ids: Mapping[str, int]) -> tuple[str, int] | None:
    token = max(ids, key=ids.__getitem__, default=None)
    return None if token is None else (token, ids[token])


def _list_decoded(settings: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield (token, id) for each added token in a tokenizer_config.json."""
    for number, entry in (settings.get(DECODER) or {}).items():
        yield str(entry["content"] if isinstance(entry, dict) else entry), parse_id(entry, int(number))


def _list_ranks(data: bytes) -> Iterator[tuple[str, int]]:
    """Yield (token in base64, rank) for each line of a tiktoken file."""
    if data.count(b"\n") > MOST_TOKENS:
        raise ValueError(f"it has more than {MOST_TOKENS:,} lines")
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
