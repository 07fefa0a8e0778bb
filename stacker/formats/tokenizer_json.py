"""Parses lists of tokens in JSON: tokenizer.json, and files that map tokens to ids.

Only tokens and ids become Python objects. The merges, which are most of a tokenizer.json, are skipped as they are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

from stacker.errors import DonorError, Mark, escape_text
from stacker.formats.garbage_collector import pause_collector
from stacker.formats.json_object import suggest_repair

if TYPE_CHECKING:
    from msgspec.json import Decoder

MOST_TOKENS = 800_000
"""Three times the largest vocabulary of a published decoder in 2026, Gemma 3's; such a file takes less than 200 MB."""
_MOST = {b":": MOST_TOKENS, b"[": MOST_TOKENS, b"{": MOST_TOKENS // 2}
"""The most of these characters in a file: each token, piece or added token has one. Gemma 3's merges have 514,906."""
_IDS = 1 << 31


@dataclass(frozen=True, slots=True)
class ListedTokens:
    """The tokens in a tokenizer.json: `vocabulary` has their ids, and `added` the entries of added tokens."""

    vocabulary: dict[str, int]
    added: list[Mapping[str, str | int | float | bool | None]]


def parse_tokenizer(data: bytes, where: str) -> ListedTokens | None:
    """Parse the bytes of a tokenizer.json; None if it has no `model`, and so another format.

    A token that is listed twice has its last id, as in the library tokenizers. DonorError, which calls the file
    `where`, if it is not valid JSON, has ids that are no integers from 0 to 2³¹ - 1, or too many tokens.
    """
    content = _decode(_make_tokenizer_decoder(), data, where, "a tokenizer")
    if content.model is None:
        return None
    vocabulary = content.model.vocab
    if isinstance(vocabulary, list):
        vocabulary = {piece.text: number for number, piece in enumerate(vocabulary)}
    return ListedTokens(vocabulary, content.added_tokens or [])


def parse_ids(data: bytes, where: str) -> dict[str, int]:
    """Parse the bytes of a JSON object that maps tokens to ids; empty if it maps names to such objects instead.

    DonorError as in `parse_tokenizer`.
    """
    table = _decode(_make_ids_decoder(), data, where, "a list of tokens")
    return {} if any(isinstance(value, dict) for value in table.values()) else table


@pause_collector()
def _decode(decoder: Decoder[Any], data: bytes, where: str, expected: str) -> Any:
    from msgspec import ValidationError  # here, because most stacks need no tokens

    if any(data.count(character) > most for character, most in _MOST.items()):
        raise DonorError.of(
            "this file has too many tokens", f"stacker reads vocabularies of up to {MOST_TOKENS:,}", Mark(where)
        )
    try:
        return decoder.decode(data)
    except ValidationError as error:
        message = f"this is not {expected} in a format that stacker knows: {escape_text(str(error), 200)}"
        raise DonorError.of(message, "save the tokenizer again with transformers", Mark(where)) from error
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else escape_text(str(error), 200)
        raise DonorError.of(f"this is not valid JSON: {reason}", suggest_repair(data), Mark(where)) from error


@cache
def _make_tokenizer_decoder() -> Decoder[Any]:
    import msgspec

    class Piece(msgspec.Struct, array_like=True, gc=False):
        """A token of a vocabulary that is a list of lists, whose other values are not needed."""

        text: str

    identity = Annotated[int, msgspec.Meta(ge=0, lt=_IDS)]
    model = msgspec.defstruct("model", [("vocab", dict[str, identity] | list[Piece])])
    entries = list[dict[str, str | int | float | bool | None]]
    return msgspec.json.Decoder(
        msgspec.defstruct("tokenizer", [("model", model | None, None), ("added_tokens", entries | None, None)])
    )


@cache
def _make_ids_decoder() -> Decoder[Any]:
    import msgspec

    identity = Annotated[int, msgspec.Meta(ge=0, lt=_IDS)]
    return msgspec.json.Decoder(dict[str, identity | dict[str, identity]])
