"""Which token has which row: the vocabulary of a result, and every donor's embedding and head put into its order.

Tokens are compared as texts. What a tokenizer does with them, and the files it lies in, are for others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from stacker.arch.files.architecture import Part
from stacker.arch.layer_names import COLUMNS
from stacker.core.tokens.problems import BY_TOKEN, blended, in_blocks, misfit, packed, strangers
from stacker.core.values.donor import Donor, DonorTensor
from stacker.core.values.expression import Copy, Expression, RowRun, Rows, find_blends
from stacker.errors import Problem, did_you_mean
from stacker.formats.json_object import Json
from stacker.spec.language.stack_spec import TokenRow, VocabularySpec
from stacker.tensors import TensorRef, TensorSpec

Row = tuple[tuple[str, int, float], ...]
"""What a row is the sum of: donors, their row numbers, and factors; nothing for a row of zeros."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a tokenizer knows: every token's id, and of those added to its base vocabulary, how they are matched."""

    ids: Mapping[str, int]
    added: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The tokens of a result: ids, how many rows there are for them, and those the chosen tokenizer did not have."""

    ids: Mapping[str, int]
    rows: int
    new: tuple[Mapping[str, Json], ...] = ()
    problems: tuple[Problem, ...] = ()


def make_vocabulary(
    wanted: VocabularySpec, chosen: str, donors: Mapping[str, Donor], tokens: Mapping[str, Tokens]
) -> Vocabulary:
    """The tokenizer of the donor `chosen`, with the other donors' added tokens in a union, and with those written out.

    There is a row for each, and no fewer rows than the donor has, up to a multiple of what is asked for. Base
    vocabularies cannot be united: a token of theirs works by its place among its tokenizer's merges.
    """
    ids = dict(tokens[chosen].ids)
    new: list[Mapping[str, Json]] = []
    problems: list[Problem] = []

    def add(token: str, how: Mapping[str, Json]) -> None:
        if token not in ids:
            ids[token] = max(ids.values(), default=-1) + 1
            new.append({**how, "id": ids[token], "content": token})

    for name in tokens if wanted.union else ():
        others = {token: number for token, number in tokens[name].ids.items() if number < rows_of(donors[name])}
        unknown = [token for token in others if token not in ids and token not in tokens[name].added]
        problems += [strangers(chosen, name, unknown, wanted.mark)] if unknown else []
        for token in sorted(others.keys() & tokens[name].added.keys(), key=others.__getitem__):
            add(token, tokens[name].added[token])
    for row in wanted.tokens:
        add(row.token, {"special": False, "normalized": False})
    rows = max(rows_of(donors[chosen]), *(number + 1 for number in ids.values()))
    rows += -rows % (wanted.pad_to_multiple_of or 1)
    return Vocabulary(ids, rows, tuple(new), tuple(problems))


def rows_of(donor: Donor) -> int:
    """How many tokens a donor's embedding has rows for."""
    tables = (tensor for tensor in donor.outside(Part.EMBED).values() if tensor.role == "embed")
    return next((tensor.spec.shape[0] for tensor in tables), 0)


def in_rows(
    vocabulary: Vocabulary, wanted: VocabularySpec, base: str, donors: Mapping[str, Donor], tokens: Mapping[str, Tokens]
) -> tuple[dict[str, Donor], tuple[Problem, ...]]:
    """The donors with the rows of embedding and head in the vocabulary's order, and what is wrong with that.

    A token that a donor lacks has the row of `base`, else of the only donor that has it, else the mean of those
    that do. A token written out has the row that is said, in donors that lack it or, by force, in all.
    """
    problems = [*_check_tokens(wanted, donors, tokens)]
    if problems:
        return dict(donors), tuple(problems)
    finding = _Finding(vocabulary, {row.token: row for row in wanted.tokens}, base, donors, tokens)
    found: dict[str, Donor] = {}
    for name, donor in donors.items():
        rows = finding.rows(name) if name in tokens else ()
        same = rows == tuple(((name, number, 1.0),) for number in range(rows_of(donor)))
        found[name] = donor if same or not rows else with_rows(donor, rows, donors, problems)
    return found, tuple(dict.fromkeys(problems))


@dataclass(frozen=True, slots=True)
class _Finding:
    vocabulary: Vocabulary
    written: Mapping[str, TokenRow]
    base: str
    donors: Mapping[str, Donor]
    tokens: Mapping[str, Tokens]

    def rows(self, name: str) -> tuple[Row, ...]:
        """What each row of the vocabulary is in a donor."""
        named = {number: token for token, number in self.vocabulary.ids.items()}
        taken = set(self.tokens[name].ids.values())
        spare = {number for number in range(rows_of(self.donors[name])) if number not in taken}
        return tuple(
            self._row(name, named[number]) if number in named else ((name, number, 1.0),) * (number in spare)
            for number in range(self.vocabulary.rows)
        )

    def _row(self, name: str, token: str) -> Row:
        written, own = self.written.get(token), self._own(name, token)
        if written and (written.force or not own):
            return _said(written, self.tokens)
        return own or self._own(self.base, token) or self._mean(token)

    def _own(self, name: str, token: str) -> Row:
        number = self.tokens[name].ids.get(token) if name in self.tokens else None
        return ((name, number, 1.0),) if number is not None and number < rows_of(self.donors[name]) else ()

    def _mean(self, token: str) -> Row:
        owners = [part for name in self.tokens for part in self._own(name, token)]
        return tuple((name, number, 1 / len(owners)) for name, number, _ in owners)


def _said(row: TokenRow, tokens: Mapping[str, Tokens]) -> Row:
    if row.donor is None:
        return ()
    number = tokens[row.donor].ids[row.like or row.token] if row.number is None else row.number
    return ((row.donor, number, 1.0),)


def _check_tokens(
    wanted: VocabularySpec, donors: Mapping[str, Donor], tokens: Mapping[str, Tokens]
) -> Iterator[Problem]:
    """Every row that is said exists."""
    for row in wanted.tokens:
        if row.donor is None or row.donor not in tokens:
            continue
        known, token = tokens[row.donor].ids, row.like or row.token
        if row.number is None and token not in known:
            yield Problem(f"'{row.donor}' has no token '{token}'", did_you_mean(token, list(known)[:1000]), row.mark)
            continue
        number = known[token] if row.number is None else row.number
        if number >= rows_of(donors[row.donor]):
            message = f"the embedding of '{row.donor}' has {rows_of(donors[row.donor])} rows, none for {number}"
            yield Problem(message, "rows count from 0", row.mark)


def with_rows(donor: Donor, rows: tuple[Row, ...], donors: Mapping[str, Donor], problems: list[Problem]) -> Donor:
    """A donor whose embedding and head have these rows, and whose config says how many."""
    problems += _bound(donor, rows)
    size = rows_of(donor)
    problems += in_blocks(donor, size)
    tensors = {
        name: _in_order(donor, tensor, rows, donors, problems)
        if tensor.role in BY_TOKEN and tensor.spec.shape[:1] == (size,)
        else tensor
        for name, tensor in donor.tensors.items()
    }
    config = dict(donor.config)
    inner = config.get(donor.architecture.scope)
    if isinstance(inner, dict):
        config[donor.architecture.scope] = {**inner, "vocab_size": len(rows)}
    if not isinstance(inner, dict) or "vocab_size" in config:
        config["vocab_size"] = len(rows)
    return replace(donor, tensors=MappingProxyType(tensors), config=config)


def _bound(donor: Donor, rows: tuple[Row, ...]) -> Iterator[Problem]:
    """Tables that have a row for each token and columns for each layer stay as they are: no token in them may move."""
    for name, tensor in donor.tensors.items():
        known = rows[: tensor.spec.shape[0]] if tensor.suffix.endswith(COLUMNS) else ()
        if any(row != ((donor.name, number, 1.0),) for number, row in enumerate(known)):
            message = f"the rows of {name} of '{donor.name}' are by token, and cannot be put in another order"
            yield Problem(message, "take a tokenizer that gives its tokens the same numbers")


def _in_order(
    donor: Donor, tensor: DonorTensor, rows: tuple[Row, ...], donors: Mapping[str, Donor], problems: list[Problem]
) -> DonorTensor:
    name, spec = tensor.spec.name, tensor.spec
    used = dict.fromkeys(each for row in rows for each, _, _ in row)
    sources = {each: donors[each].outside(tensor.part).get(name) for each in used}
    for each, source in sources.items():
        if source is None or source.spec.shape[1:] != spec.shape[1:]:
            problems.append(misfit(donor.name, each, name))
        elif not source.spec.dtype.arithmetic:
            problems.append(packed(each, source.spec))
        elif any(find_blends(_made(each, source))):
            problems.append(blended(each, name))
    order = {each: number for number, each in enumerate(used)}
    expression = Rows(
        tuple(_made(each, source) for each, source in sources.items() if source),
        TensorSpec(name, spec.dtype, spec.shape[1:]).elements,
        tuple(_runs(rows, order)),
    )
    shape = (len(rows), *spec.shape[1:])
    return replace(tensor, spec=TensorSpec(name, spec.dtype, shape), expression=expression)


def _made(donor: str, tensor: DonorTensor) -> Expression:
    return tensor.expression or Copy(TensorRef(donor, tensor.spec.name))


def _runs(rows: tuple[Row, ...], order: Mapping[str, int]) -> Iterator[RowRun]:
    """Rows that go on alike as one run."""
    last: RowRun | None = None
    for to, row in enumerate(rows):
        for donor, number, factor in row:
            run = RowRun(to, order[donor], number, 1, factor)
            if last and len(row) == 1 and _follows(last, run):
                last = replace(last, count=last.count + 1)
                continue
            if last:
                yield last
            last = run
    if last:
        yield last


def _follows(run: RowRun, after: RowRun) -> bool:
    here = run.to + run.count == after.to and run.start + run.count == after.start
    return here and run.source == after.source and run.factor == after.factor == 1.0
