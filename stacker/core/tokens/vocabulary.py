"""Determines the tokens of the result and the number of rows of its embedding and head.

Tokens are compared as texts, without knowing how a tokenizer splits text or stores its files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from stacker.arch.files.architecture import Part
from stacker.core.values.donor import Donor
from stacker.errors import Blame, Problem, did_you_mean, escape_text
from stacker.formats.json_object import Json
from stacker.spec.language.stack_spec import VocabularySpec

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of one tokenizer.

    `ids` has the id of each token, and `added` the tokenizer.json entry of each added token.
    """

    ids: Mapping[str, int]
    added: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The token ids of the result, and the number of rows of its embedding and head.

    `new` has tokenizer.json entries for the tokens that the chosen tokenizer lacks.
    """

    ids: Mapping[str, int]
    rows: int
    new: tuple[Mapping[str, Json], ...] = ()
    problems: tuple[Problem, ...] = ()


def make_vocabulary(
    wanted: VocabularySpec, chosen: str, donors: Mapping[str, Donor], tokens: Mapping[str, Tokens]
) -> Vocabulary:
    """Combine the tokens of donor `chosen`, the tokens that the spec lists and, if the spec asks for it, other donors'.

    There are at least as many rows as in `chosen`, rounded up to the multiple in the spec. From other donors only added
    tokens are taken; a base token (one that is not an added token) that `chosen` lacks is reported as a problem.
    """
    ids = dict(tokens[chosen].ids)
    new: list[Mapping[str, Json]] = []
    problems = [*_check_tokens(wanted, donors, tokens), *_check_gaps(wanted, donors[chosen], tokens[chosen])]

    def add(token: str, entry: Mapping[str, Json]) -> None:
        if token not in ids:
            ids[token] = max(ids.values(), default=-1) + 1
            new.append({**entry, "id": ids[token], "content": token})

    for name in tokens if wanted.union else ():
        known = {token: number for token, number in tokens[name].ids.items() if number < count_rows(donors[name])}
        unknown = [token for token in known if token not in ids and token not in tokens[name].added]
        problems += [_cannot_unite(wanted, chosen, name, unknown)] if unknown else []
        for token in sorted(known.keys() & tokens[name].added.keys(), key=known.__getitem__):
            add(token, tokens[name].added[token])
    for row in wanted.tokens:
        add(row.token, {"special": False, "normalized": False})
    rows = max(count_rows(donors[chosen]), *(number + 1 for number in ids.values()))
    rows += -rows % (wanted.pad_to_multiple_of or 1)
    return Vocabulary(ids, rows, tuple(new), tuple(problems))


def count_rows(donor: Donor) -> int:
    """The number of rows of a donor's embedding; 0 if it has no embedding."""
    tables = (tensor for tensor in donor.outside(Part.EMBED).values() if tensor.role == "embed")
    return next((tensor.spec.shape[0] for tensor in tables), 0)


def _check_gaps(wanted: VocabularySpec, donor: Donor, tokens: Tokens) -> Iterator[Problem]:
    """Report an id so high that most rows up to it would belong to no token.

    Otherwise the id in a damaged or malicious tokenizer could make the table as large as it likes.
    """
    token, number = max(tokens.ids.items(), key=lambda item: item[1], default=("", 0))
    most = count_rows(donor) + len(tokens.ids)
    if number >= most:
        shown = escape_text(repr(token), 40)
        message = f"the tokenizer of '{donor.name}' gives {shown} the id {number:,}, but has {len(tokens.ids):,} tokens"
        yield Problem(message, "repair the tokenizer, or use that of another donor", wanted.mark, blame=Blame.DONOR)


def _cannot_unite(wanted: VocabularySpec, chosen: str, name: str, unknown: list[str]) -> Problem:
    shown = ", ".join(map(repr, unknown[:_SHOWN])) + (" …" if len(unknown) > _SHOWN else "")
    count = f"{len(unknown)} base token{'s' if len(unknown) > 1 else ''}"
    message = f"cannot unite the tokenizers of '{chosen}' and '{name}': '{chosen}' lacks {count} of '{name}' ({shown})"
    hint = "a union takes only added tokens from other donors; to keep one donor's tokenizer, name it as `source`"
    return Problem(message, hint, wanted.mark)


def _check_tokens(
    wanted: VocabularySpec, donors: Mapping[str, Donor], tokens: Mapping[str, Tokens]
) -> Iterator[Problem]:
    """Report tokens and row numbers that the spec takes from a donor but that the donor does not have."""
    for row in wanted.tokens:
        if row.donor is None or row.donor not in tokens:
            continue
        known, token = tokens[row.donor].ids, row.like or row.token
        if row.number is None and token not in known:
            yield Problem(f"'{row.donor}' has no token '{token}'", did_you_mean(token, list(known)[:1000]), row.mark)
            continue
        number = known[token] if row.number is None else row.number
        size = count_rows(donors[row.donor])
        if number >= size:
            yield Problem(
                f"the embedding of '{row.donor}' has {size} rows, none for {number}", "rows count from 0", row.mark
            )
