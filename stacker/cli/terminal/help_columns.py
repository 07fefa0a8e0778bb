"""Shows in the help of a command what the value of an option is, and not which type of Python it becomes."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup

_NUMBERS = {"<int": "N", "<float": "X", "<list[int]": "N", "<list[float]": "X"}
"""How the type of a number begins as typer shows it, and what the help shows instead."""


class Command(TyperCommand):
    """A command whose help has a word for the value of each option, and nothing for switches and arguments."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, each with the text that the help shows for its value."""
        return _describe_values(super().get_params(ctx), ctx)


class Group(TyperGroup):
    """The program, with the same help for its own options."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, each with the text that the help shows for its value."""
        return _describe_values(super().get_params(ctx), ctx)


def _describe_values(params: list[Any], ctx: Any) -> list[Any]:
    for param in params:
        if param.param_type_name == "argument":
            param.display_type_rich = _show_nothing  # the name of the argument says what it is
        elif param.metavar is None:
            param.metavar = "" if param.is_flag else _name_value(param, ctx)
    return params


def _show_nothing(ctx: Any) -> str:
    del ctx
    return ""


def _name_value(param: Any, ctx: Any) -> str:
    """N for a whole number, X for a fraction, the choices if there are some, or else the option's name."""
    shown = str(param.display_type(ctx))
    number = next((word for start, word in _NUMBERS.items() if shown.startswith(start)), None)
    if number or "|" in shown:
        return number or shown.strip("<>")
    return str(max(param.opts, key=len)).strip("-").replace("-", " ").upper()
