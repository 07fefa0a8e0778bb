"""Writes data as YAML that is easy to read. YAML 1.1 and YAML 1.2 readers get the same data from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from stacker.text.node import Plain
from stacker.text.scalars import ScalarError, parse_plain

_BOOLEANS_OF_1_1 = frozenset({"y", "n"})
"""Words that must be quoted: PyYAML writes them without quotes, but other readers of YAML 1.1 read them as booleans."""


@dataclass(frozen=True, slots=True)
class Flow:
    """A list or mapping that is written on one line, in brackets or braces."""

    value: Tree


Tree = Plain | Flow | Sequence["Tree"] | Mapping[str, "Tree"]


def write_yaml(data: Mapping[str, Tree]) -> str:
    """The text of one YAML document, with nested blocks indented by two spaces.

    Strings that a YAML reader could take for another type are in double quotes.
    """
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, default_flow_style=False, width=float("inf"))


class _Dumper(yaml.SafeDumper):
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002 - PyYAML's
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's
        return True

    def analyze_scalar(self, scalar: str) -> Any:
        self.allow_unicode = scalar.isprintable()  # characters that nobody would see are escaped
        return super().analyze_scalar(scalar)

    def choose_scalar_style(self) -> str:
        style = super().choose_scalar_style()
        return '"' if style == "'" else style

    def represent_text(self, text: str) -> yaml.Node:
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=None if _is_text(text) else '"')

    def represent_number(self, value: float) -> yaml.Node:
        return (
            self.represent_int(int(value)) if value.is_integer() and abs(value) < 1e15 else self.represent_float(value)
        )

    def represent_flow(self, flow: Flow) -> yaml.Node:
        node = self.represent_data(flow.value)
        if isinstance(node, yaml.CollectionNode):
            node.flow_style = True
        return node


def _is_text(text: str) -> bool:
    """Whether `text` without quotes is a string in YAML 1.2, and not `y` or `n`, which YAML 1.1 reads as booleans.

    PyYAML itself quotes all other strings that YAML 1.1 would read as another type.
    """
    try:
        return parse_plain(text) == text and text.lower() not in _BOOLEANS_OF_1_1
    except ScalarError:
        return False


_Dumper.add_representer(str, _Dumper.represent_text)
_Dumper.add_representer(float, _Dumper.represent_number)
_Dumper.add_representer(Flow, _Dumper.represent_flow)
