"""Arithmetic over a config, as architecture files write it: `heads * head_dim`, `i < first_k_dense_replace`.

A formula is a Python expression restricted to names, constants, lists, arithmetic, comparisons, `in`, `and`/`or`/`not`,
`if`/`else`, indexing, `int`, `len`, `range` and `str`; anything else is refused when it is parsed. `a | b` is a, or b
where a is absent or null.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
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
_CALLS: dict[str, Callable[[Any], Any]] = {"int": int, "len": len, "range": range, "str": str}
_ALLOWED = (
    ast.Expression, ast.Name, ast.Load, ast.Constant, ast.List, ast.BinOp, ast.BitOr, ast.UnaryOp, ast.Not, ast.USub,
    ast.BoolOp, ast.And, ast.Or, ast.Compare, ast.IfExp, ast.Subscript, ast.Slice, ast.Attribute, ast.Call,
    *_BINARY, *_COMPARE,
)  # fmt: skip


_SENSELESS = (TypeError, ValueError, ZeroDivisionError, IndexError, KeyError, OverflowError)


class FormulaError(ValueError):
    """A formula that cannot be parsed, or a name in it that the config does not have."""


@dataclass(frozen=True, slots=True)
class Formula:
    """A parsed formula; two are equal when their texts are."""

    text: str
    tree: ast.expr = field(compare=False, repr=False)

    def value(self, names: Mapping[str, Any]) -> Any:
        """What it comes to with these names; FormulaError when a name is missing or the arithmetic makes no sense."""
        try:
            return _value(self.tree, names)
        except FormulaError:
            raise
        except _SENSELESS as error:
            raise FormulaError(f"{self.text!r} has no value here: {error}") from error


def parse_formula(text: str) -> Formula:
    """The formula a text stands for; FormulaError on anything outside the little language."""
    try:
        tree = ast.parse(text, mode="eval")
    except SyntaxError as error:
        raise FormulaError(f"{text!r} is not a formula: {error.msg}") from error
    for node in ast.walk(tree):
        if not isinstance(node, _ALLOWED) or (isinstance(node, ast.Call) and not _is_known_call(node)):
            raise FormulaError(f"{text!r}: {type(node).__name__} has no place in a formula")
    return Formula(text, tree.body)


def _is_known_call(node: ast.Call) -> bool:
    return isinstance(node.func, ast.Name) and node.func.id in _CALLS and len(node.args) == 1 and not node.keywords


def _value(node: ast.expr, names: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value):
            return value
        case ast.Name(name):
            return _named(name, names)
        case ast.Attribute(owner, key):
            return _named(key, _value(owner, names))
        case ast.List(items):
            return [_value(item, names) for item in items]
        case ast.Subscript(owner, ast.Slice(None, ast.expr() as stop, None)):
            return _value(owner, names)[: _value(stop, names)]
        case ast.Subscript(_, ast.Slice()):
            raise FormulaError("of a list, only its beginning can be cut: [:i]")
        case ast.Subscript(owner, index):
            return _value(owner, names)[_value(index, names)]
        case ast.Call(ast.Name(function), [argument]):
            return _CALLS[function](_value(argument, names))
        case ast.IfExp(test, body, otherwise):
            return _value(body if _value(test, names) else otherwise, names)
        case _:
            return _operation(node, names)


def _operation(node: ast.expr, names: Mapping[str, Any]) -> Any:
    match node:
        case ast.BinOp(left, ast.BitOr(), right):
            return _either(left, right, names)
        case ast.BinOp(left, sign, right):
            return _BINARY[type(sign)](_value(left, names), _value(right, names))
        case ast.UnaryOp(ast.Not(), operand):
            return not _value(operand, names)
        case ast.UnaryOp(_, operand):
            return -_value(operand, names)
        case ast.BoolOp(ast.And(), values):
            return all(_value(value, names) for value in values)
        case ast.BoolOp(_, values):
            return any(_value(value, names) for value in values)
        case ast.Compare(left, signs, rights):
            return _compare([left, *rights], signs, names)
        case _:
            raise FormulaError(f"{ast.unparse(node)!r} has no value")


def _compare(operands: list[ast.expr], signs: list[ast.cmpop], names: Mapping[str, Any]) -> bool:
    values = [_value(operand, names) for operand in operands]
    return all(_COMPARE[type(sign)](a, b) for sign, a, b in zip(signs, values, values[1:], strict=False))


def _either(left: ast.expr, right: ast.expr, names: Mapping[str, Any]) -> Any:
    try:
        value = _value(left, names)
    except (FormulaError, *_SENSELESS):
        value = None
    return _value(right, names) if value is None else value


def _named(name: str, names: Mapping[str, Any]) -> Any:
    if name not in names:
        raise FormulaError(f"the config has no '{name}'")
    return names[name]
