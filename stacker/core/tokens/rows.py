"""Chooses from which donor rows the embedding and head rows of each token are made, and rewrites donors accordingly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from stacker.arch.layer_names import COLUMNS
from stacker.core.tokens.vocabulary import Tokens, Vocabulary, count_rows
from stacker.core.values.donor import Donor, DonorTensor
from stacker.core.values.expression import Copy, Expression, Rows
from stacker.core.values.expression_parts import find_blends
from stacker.core.values.matrix_parts import RowRun
from stacker.errors import Blame, Problem
from stacker.spec.language.stack_spec import TokenRow, VocabularySpec
from stacker.tensors import TensorRef, TensorSpec

_BY_TOKEN = ("embed", "head", "head.bias")
"""The roles of tensors that have one row for each token."""
Row = tuple[tuple[str, int, float], ...]
"""A row as the sum of donor rows, each given as (donor name, row number, factor); () is a row of zeros."""


def align_rows(
    vocabulary: Vocabulary, wanted: VocabularySpec, base: str, donors: Mapping[str, Donor], tokens: Mapping[str, Tokens]
) -> tuple[dict[str, Donor], tuple[Problem, ...]]:
    """Put the rows of every donor's embedding and head into the order of the vocabulary; return (donors, problems).

    A token that a donor lacks gets the row that the spec lists for the token, else the row of donor `base`, else the
    mean of the rows of all donors that have the token. A row that the spec lists with `force` also replaces the row of
    a donor that has the token.
    """
    choice = _RowChoice(vocabulary, {row.token: row for row in wanted.tokens}, base, donors, tokens)
    aligned = dict(donors)
    problems: list[Problem] = []
    for name in tokens:
        rows = choice.rows(name)
        if rows and rows != _own_rows(name, count_rows(donors[name])):
            aligned[name], more = replace_rows(donors[name], rows, donors)
            problems += more
    return aligned, tuple(dict.fromkeys(problems))


@dataclass(frozen=True, slots=True)
class _RowChoice:
    vocabulary: Vocabulary
    written: Mapping[str, TokenRow]
    base: str
    donors: Mapping[str, Donor]
    tokens: Mapping[str, Tokens]

    def rows(self, name: str) -> tuple[Row, ...]:
        """The new rows of the donor with this name, one for each row number of the vocabulary.

        Where no token of the vocabulary has the row number, the donor's own row of this number stays if no token of the
        donor uses it. Otherwise the new row is zeros.
        """
        token_of = {number: token for token, number in self.vocabulary.ids.items()}
        taken = set(self.tokens[name].ids.values())
        spare = {number for number in range(count_rows(self.donors[name])) if number not in taken}
        return tuple(
            self._row(name, token_of[number]) if number in token_of else ((name, number, 1.0),) * (number in spare)
            for number in range(self.vocabulary.rows)
        )

    def _row(self, name: str, token: str) -> Row:
        written, own = self.written.get(token), self._own(name, token)
        if written and (written.force or not own):
            return _written_row(written, self.tokens)
        return own or self._own(self.base, token) or self._mean(token)

    def _own(self, name: str, token: str) -> Row:
        number = self.tokens[name].ids.get(token) if name in self.tokens else None
        return ((name, number, 1.0),) if number is not None and number < count_rows(self.donors[name]) else ()

    def _mean(self, token: str) -> Row:
        owners = [part for name in self.tokens for part in self._own(name, token)]
        return tuple((name, number, 1 / len(owners)) for name, number, _ in owners)


def _own_rows(name: str, count: int) -> tuple[Row, ...]:
    return tuple(((name, number, 1.0),) for number in range(count))


def _written_row(row: TokenRow, tokens: Mapping[str, Tokens]) -> Row:
    if row.donor is None:
        return ()
    number = tokens[row.donor].ids[row.like or row.token] if row.number is None else row.number
    return ((row.donor, number, 1.0),)


def cut_rows(donor: Donor, count: int) -> tuple[Donor, tuple[Problem, ...]]:
    """A copy of the donor with only the first `count` embedding and head rows, and the problems that prevent this."""
    return replace_rows(donor, _own_rows(donor.name, count), {donor.name: donor})


def replace_rows(donor: Donor, rows: tuple[Row, ...], donors: Mapping[str, Donor]) -> tuple[Donor, tuple[Problem, ...]]:
    """A copy of the donor with `rows` as the rows of embedding and head, and the problems that prevent this.

    The number of rows becomes the vocabulary size in the donor's config.
    """
    size = count_rows(donor)
    problems = [*_check_fixed_tables(donor, rows), *_check_quantized(donor, size)]
    tensors = dict(donor.tensors)
    for name, tensor in donor.tensors.items():
        if tensor.role in _BY_TOKEN and tensor.spec.shape[:1] == (size,):
            problems += _check_sources(donor, tensor, rows, donors)
            tensors[name] = _with_rows(tensor, rows, donors)
    config = dict(donor.config)
    inner = config.get(donor.architecture.scope)
    if isinstance(inner, dict):
        config[donor.architecture.scope] = {**inner, "vocab_size": len(rows)}
    if not isinstance(inner, dict) or "vocab_size" in config:
        config["vocab_size"] = len(rows)
    return replace(donor, tensors=MappingProxyType(tensors), config=config), tuple(problems)


def _check_fixed_tables(donor: Donor, rows: tuple[Row, ...]) -> Iterator[Problem]:
    """Report tensors of the donor whose rows `rows` would move although stacker cannot reorder them.

    They are tensors outside the layers with a row for each token and some columns for each layer.
    """
    for name, tensor in donor.tensors.items():
        known = rows[: tensor.spec.shape[0]] if tensor.suffix.endswith(COLUMNS) else ()
        if any(row != ((donor.name, number, 1.0),) for number, row in enumerate(known)):
            message = f"cannot reorder {name} of '{donor.name}', which has a row for each token in every layer"
            yield Problem(message, "use a tokenizer that gives these tokens the same ids")


def _check_quantized(donor: Donor, size: int) -> Iterator[Problem]:
    """Report an embedding or head whose rows cannot be separated because it is quantised in blocks.

    `size` is the number of rows that an unquantised embedding or head of the donor has.
    """
    by_token = (tensor.spec for tensor in donor.tensors.values() if tensor.role in _BY_TOKEN)
    packed = [spec.name for spec in by_token if spec.shape[:1] != (size,)]
    if donor.quantized and packed:
        message = f"cannot reorder the rows of {packed[0]} of '{donor.name}': it is quantised ({donor.quantized})"
        yield Problem(message, "keep a donor's tokenizer as it is: `tokenizer: <donor>`", blame=Blame.DONOR)


def _check_sources(
    donor: Donor, tensor: DonorTensor, rows: tuple[Row, ...], donors: Mapping[str, Donor]
) -> Iterator[Problem]:
    """Report each donor named in `rows` that cannot provide rows for `tensor`, a tensor of `donor`.

    Such a donor lacks a tensor of this name, or its tensor has another width, is packed, or is computed by a blend.
    """
    name = tensor.spec.name
    for source, table in _sources(tensor, rows, donors).items():
        if table is None or table.spec.shape[1:] != tensor.spec.shape[1:]:
            message = f"'{source}' has no {name} with rows as long as those of '{donor.name}'"
            hint = "use donors with the same hidden size, all with tied embeddings or all without"
            yield Problem(message, hint, blame=Blame.DONOR)
        elif not table.spec.dtype.arithmetic:
            message = f"cannot reorder the rows of {name} of '{source}': it is packed ({table.spec.dtype.label})"
            yield Problem(message, "use this donor in full precision", blame=Blame.DONOR)
        elif any(find_blends(_expression(source, table))):
            message = f"cannot reorder the rows of {name} of '{source}': that stack blends them"
            hint = "set this `tokenizer` in the spec of that stack; or build it first and use the result as a donor"
            yield Problem(message, hint, blame=Blame.DONOR)


def _sources(tensor: DonorTensor, rows: tuple[Row, ...], donors: Mapping[str, Donor]) -> dict[str, DonorTensor | None]:
    """For each donor that `rows` come from, in order of use, the donor's tensor with the same name as `tensor`.

    The value is None if the donor lacks the tensor.
    """
    used = dict.fromkeys(name for row in rows for name, _, _ in row)
    return {name: donors[name].outside(tensor.part).get(tensor.spec.name) for name in used}


def _with_rows(tensor: DonorTensor, rows: tuple[Row, ...], donors: Mapping[str, Donor]) -> DonorTensor:
    spec, sources = tensor.spec, _sources(tensor, rows, donors)
    number_of = {name: number for number, name in enumerate(sources)}
    expression = Rows(
        tuple(_expression(name, source) for name, source in sources.items() if source),
        TensorSpec(spec.name, spec.dtype, spec.shape[1:]).elements,
        tuple(_runs(rows, number_of)),
    )
    shape = (len(rows), *spec.shape[1:])
    return replace(tensor, spec=TensorSpec(spec.name, spec.dtype, shape), expression=expression)


def _expression(donor: str, tensor: DonorTensor) -> Expression:
    return tensor.expression or Copy(TensorRef(donor, tensor.spec.name))


def _runs(rows: tuple[Row, ...], number_of: Mapping[str, int]) -> Iterator[RowRun]:
    """Yield the rows as runs; unscaled rows that follow each other both in one source and in the result form one run.

    `number_of` maps each donor name to the index of its tensor among the sources.
    """
    last: RowRun | None = None
    for to, row in enumerate(rows):
        for donor, number, factor in row:
            run = RowRun(to, number_of[donor], number, 1, factor)
            if last and len(row) == 1 and _extends(last, run):
                last = replace(last, count=last.count + 1)
                continue
            if last:
                yield last
            last = run
    if last:
        yield last


def _extends(run: RowRun, after: RowRun) -> bool:
    adjacent = run.to + run.count == after.to and run.start + run.count == after.start
    return adjacent and run.source == after.source and run.factor == after.factor == 1.0
