"""Fills values into the templates of HTML pages, which share one head with colours and fonts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

_HEAD = Path(__file__).with_name("head.html")


def fill_page(template: Path, values: Mapping[str, str]) -> str:
    """The text of a template, with each `@@name@@` replaced by the value of that name; `head` is what pages share."""
    known = {"head": _HEAD.read_text(encoding="utf-8").rstrip(), **values}
    # Split the template before the values are filled in: a value may contain "@@".
    pieces = template.read_text(encoding="utf-8").split("@@")
    return "".join(known[piece] if number % 2 else piece for number, piece in enumerate(pieces))
