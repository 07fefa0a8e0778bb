"""Parses and computes `${…}` inside text: a parameter's name, or a sum of names and numbers such as `${cut+8}`.

`$${` stands for the two characters `${` themselves.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from stacker.spec.parameters.space import ParameterValue, format_value
from stacker.text.node import shorten
from stacker.text.scalars import parse_plain

LITERAL = "$${"
_PIECE = re.compile(r"(?P<literal>\$\$\{)|\$\{(?P<inside>[^{}]*)\}|(?P<open>\$\{)")
_TERM = re.compile(r"\s*(?P<sign>[+-]?)\s*(?P<term>[A-Za-z_][A-Za-z0-9_]*|[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\s*")
_MOST_EXPONENT = 300
_SUMS = "inside ${ } is a name, or a sum such as ${cut+8} or ${1-t}"


class ExpressionError(ValueError):
    """Raised with a message and a hint for a `${…}` that cannot be understood or computed."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Term:
    """One summand: the name of a parameter, or a number; `negative` if it is subtracted."""

    of: str | int | float
    named: bool
    negative: bool


Sum = tuple[Term, ...]
Piece = str | Sum
"""A part of a text: characters that stay as they are, or a sum whose value is put in their place."""


def parse_pieces(text: str) -> tuple[Piece, ...]:
    """The parts of a text; ExpressionError if a `${` is not closed or what is inside is not a sum."""
    pieces: list[Piece] = []
    end = 0
    for match in _PIECE.finditer(text):
        pieces.append(text[end : match.start()])
        end = match.end()
        if match["open"]:
            hint = f"{_SUMS}; write $${{ for the characters ${{ themselves"
            raise ExpressionError("this ${ has no closing }", hint)
        pieces.append("${" if match["literal"] else _parse_sum(match["inside"]))
    return tuple(piece for piece in (*pieces, text[end:]) if piece != "")


def _parse_sum(text: str) -> Sum:
    terms: list[Term] = []
    at = 0
    while at < len(text) or not terms:
        match = _TERM.match(text, at)
        if match is None or bool(match["sign"]) < bool(terms):
            raise ExpressionError(f"'${{{shorten(text)}}}' is not a sum of parameters and numbers", _advise(text))
        terms.append(_make_term(match["term"], negative=match["sign"] == "-"))
        at = match.end()
    return tuple(terms)


def _advise(text: str) -> str:
    if not text.strip():
        return "write the name of a parameter: ${cut}"
    if any(sign in text for sign in "*/%^("):
        return f"there is no multiplication and no division; {_SUMS}"
    return _SUMS


def _make_term(text: str, *, negative: bool) -> Term:
    if text[0].isalpha() or text[0] == "_":
        return Term(text, named=True, negative=negative)
    number = parse_plain(text) if len(text) <= 30 else None
    if not isinstance(number, int | float) or abs(number) > 10.0**_MOST_EXPONENT:
        raise ExpressionError(f"the number {shorten(text)} in a sum is too large or has too many digits", _SUMS)
    return Term(number, named=False, negative=negative)


def list_names(pieces: tuple[Piece, ...]) -> tuple[str, ...]:
    """The names of the parameters that a text uses."""
    return tuple(str(term.of) for piece in pieces if not isinstance(piece, str) for term in piece if term.named)


def compute_text(pieces: tuple[Piece, ...], values: Mapping[str, ParameterValue]) -> ParameterValue:
    """The value of a text with all parameters put in: of the sum's type if the text is one sum, or else text."""
    if len(pieces) == 1 and not isinstance(pieces[0], str):
        return _compute_sum(pieces[0], values)
    return "".join(each if isinstance(each, str) else format_value(_compute_sum(each, values)) for each in pieces)


def _compute_sum(terms: Sum, values: Mapping[str, ParameterValue]) -> ParameterValue:
    """The value of a sum, rounded once; whole if all its terms are whole."""
    numbers = [values[str(term.of)] if term.named else term.of for term in terms]
    if len(terms) == 1 and not terms[0].negative:
        return numbers[0]
    total = Fraction(0)
    for term, number in zip(terms, numbers, strict=True):
        if isinstance(number, bool | str):
            message = f"'{term.of}' is {format_value(number)}, and only numbers can be added"
            raise ExpressionError(message, "use ${" + str(term.of) + "} alone")
        exact = Fraction(str(number))
        total += -exact if term.negative else exact
    return int(total) if all(isinstance(number, int) for number in numbers) else float(total)
