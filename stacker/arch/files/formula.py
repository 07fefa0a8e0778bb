"""Parses and computes the formulas of architecture files, such as `heads * head_dim` or `i < first_k_dense_replace`.

A formula is a Python expression restricted to names, constants, lists, arithmetic, comparisons, `in`, `and`/`or`/`not`,
`if`/`else`, indexing, `int`, `len`, `range` and `str`; parsing fails for anything else. The formula `a | b` has the
value of `b` if `a` is null or cannot be computed, otherwise the value of `a`.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

_BINARY: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv,
    ast.Div: operator.truediv, ast.Mod: operator.mod, ast.Pow: operator.pow,
}  # fmt: skip
_COMPARE: dict[type[ast.AST], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge, ast.In: lambda a, b: a in b, ast.NotIn: lambda a, b: a not in b,
    ast.Is: operator.is_, ast.IsNot: operator.is_not,
}  # fmt: skip
_LONGEST_RANGE = 1_000_000
_MOST_BITS = 1024
"""The largest size of an integer that a formula computes with."""


def _make_range(stop: Any) -> range:
    """A range; ValueError for one so long that searching it would take seconds."""
    if stop > _LONGEST_RANGE:
        raise ValueError(f"a range of more than {_LONGEST_RANGE:,} numbers")
    return range(stop)


def _compute_binary(sign: ast.operator, left: Any, right: Any) -> Any:
    """Compute `left sign right`, where text and lists can only be added; TypeError or ValueError for anything else.

    A config is not trusted: text times a number, or a power of large numbers, could fill the memory.
    """
    if not isinstance(sign, ast.Add):
        for value in (left, right):
            if not isinstance(value, int | float):
                raise TypeError(f"cannot compute with {type(value).__name__}")
    for value in (left, right):
        if isinstance(value, int) and value.bit_length() > (_MOST_BITS if not isinstance(sign, ast.Pow) else 16):
            raise ValueError("a number is too large")
    return _BINARY[type(sign)](left, right)


_CALLS: dict[str, Callable[[Any], Any]] = {"int": int, "len": len, "range": _make_range, "str": str}
_ALLOWED = (
    ast.Expression, ast.Name, ast.Load, ast.Constant, ast.List, ast.BinOp, ast.BitOr, ast.UnaryOp, ast.Not, ast.USub,
    ast.BoolOp, ast.And, ast.Or, ast.Compare, ast.IfExp, ast.Subscript, ast.Slice, ast.Attribute, ast.Call,
    *_BINARY, *_COMPARE,
)  # fmt: skip


_EVALUATION_ERRORS = (TypeError, ValueError, ZeroDivisionError, IndexError, KeyError, OverflowError)


class FormulaError(ValueError):
    """Raised for a formula that cannot be parsed, or cannot be computed from the given names."""


@dataclass(frozen=True, slots=True)
class Formula:
    """A parsed formula; two formulas are equal if their texts are equal."""

    text: str
    tree: ast.expr = field(compare=False, repr=False)

    def value(self, names: Mapping[str, Any]) -> Any:
        """Compute the formula from the values in `names`; FormulaError if a name is missing or an operation fails."""
        try:
            return _evaluate(self.tree, names)
        except FormulaError:
            raise
        except _EVALUATION_ERRORS as error:
            raise FormulaError(f"{self.text!r} has no value here: {error}") from error


def find_names(formulas: Iterable[Formula]) -> set[str]:
    """The names that any of the formulas reads, such as config keys; of `a.b`, both `a` and `a.b`."""
    nodes = [node for formula in formulas for node in ast.walk(formula.tree)]
    dotted = {_join_names(node) for node in nodes if isinstance(node, ast.Attribute)}
    return {node.id for node in nodes if isinstance(node, ast.Name)} | (dotted - {""})


def _join_names(node: ast.expr) -> str:
    """The text of a name with dots, such as `rope.freq_base`; "" for any other expression."""
    if isinstance(node, ast.Name):
        return node.id
    owner = _join_names(node.value) if isinstance(node, ast.Attribute) else ""
    return f"{owner}.{node.attr}" if owner and isinstance(node, ast.Attribute) else ""


def parse_formula(text: str) -> Formula:
    """Parse a formula; FormulaError for a syntax error or a construct that is not allowed."""
    try:
        tree = ast.parse(text, mode="eval")
    except SyntaxError as error:
        raise FormulaError(f"{text!r} is not a formula: {error.msg}") from error
    for node in ast.walk(tree):
        if not isinstance(node, _ALLOWED) or (isinstance(node, ast.Call) and not _is_known_call(node)):
            raise FormulaError(f"{text!r}: {type(node).__name__} is not allowed in a formula")
    return Formula(text, tree.body)


def _is_known_call(node: ast.Call) -> bool:
    return isinstance(node.func, ast.Name) and node.func.id in _CALLS and len(node.args) == 1 and not node.keywords


def _evaluate(node: ast.expr, names: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value):
            return value
        case ast.Name(name):
            return _look_up(name, names)
        case ast.Attribute(owner, key):
            whole = _join_names(node)
            return names[whole] if whole in names else _look_up(key, _evaluate(owner, names))
        case ast.List(items):
            return [_evaluate(item, names) for item in items]
        case ast.Subscript(owner, ast.Slice(None, ast.expr() as stop, None)):
            return _evaluate(owner, names)[: _evaluate(stop, names)]
        case ast.Subscript(_, ast.Slice()):
            raise FormulaError("of a list, only its beginning can be cut: [:i]")
        case ast.Subscript(owner, index):
            return _evaluate(owner, names)[_evaluate(index, names)]
        case ast.Call(ast.Name(function), [argument]):
            return _CALLS[function](_evaluate(argument, names))
        case ast.IfExp(test, body, otherwise):
            return _evaluate(body if _evaluate(test, names) else otherwise, names)
        case _:
            return _evaluate_operation(node, names)


def _evaluate_operation(node: ast.expr, names: Mapping[str, Any]) -> Any:
    match node:
        case ast.BinOp(left, ast.BitOr(), right):
            return _evaluate_or_default(left, right, names)
        case ast.BinOp(left, sign, right):
            return _compute_binary(sign, _evaluate(left, names), _evaluate(right, names))
        case ast.UnaryOp(ast.Not(), operand):
            return not _evaluate(operand, names)
        case ast.UnaryOp(_, operand):
            return -_evaluate(operand, names)
        case ast.BoolOp(ast.And(), values):
            return all(_evaluate(value, names) for value in values)
        case ast.BoolOp(_, values):
            return any(_evaluate(value, names) for value in values)
        case ast.Compare(left, signs, rights):
            return _compare([left, *rights], signs, names)
        case _:
            raise FormulaError(f"{ast.unparse(node)!r} has no value")


def _compare(operands: list[ast.expr], signs: list[ast.cmpop], names: Mapping[str, Any]) -> bool:
    values = [_evaluate(operand, names) for operand in operands]
    return all(_COMPARE[type(sign)](a, b) for sign, a, b in zip(signs, values, values[1:], strict=False))


def _evaluate_or_default(left: ast.expr, right: ast.expr, names: Mapping[str, Any]) -> Any:
    try:
        value = _evaluate(left, names)
    except (FormulaError, *_EVALUATION_ERRORS):
        value = None
    return _evaluate(right, names) if value is None else value


def _look_up(name: str, names: Mapping[str, Any]) -> Any:
    if name not in names:
        raise FormulaError(f"the config has no '{name}'")
    return names[name]
